"""Calibration: whether a model's chosen options are right as often as their probability says.

The probabilities of a question are the softmax of its options' log-likelihoods, divided by the
normalizer. With the total they are what the model itself assigns to each option, given that one of
them follows; after a division by length they are a convention, and often nearly equal.

Questions of a document are not independent, so intervals rest on documents: that of the
overconfidence is one of a paired difference, and those of the Brier score and of the expected
calibration error (ECE) resample documents. Noise makes the ECE of few questions larger and never
smaller, so even a calibrated model has one. `ece_if_calibrated` is what 95% of simulated studies of
a calibrated model with the same probabilities stay below, questions taken as independent; up to it,
the interval starts at 0. The interval's coverage in simulations is in docs/statistics.md
(`benchmarks/calibration.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from steep.evaluation.engines import Normalizer
from steep.evaluation.results import Calibration, Interval, ModelCalibration, ReliabilityBin
from steep.evaluation.rows import QuestionRow, one_right
from steep.evaluation.statistics import (
    CONFIDENCE,
    bootstrap_interval,
    mean_interval,
    paired_difference,
    ratio,
)

BINS = 10  # of equal width
SIMULATED = 1_000  # studies of a calibrated model
RESAMPLES = 2_000
TOTAL: Normalizer = "sum"


def calibration(
    by_model: Mapping[str, Sequence[QuestionRow]], normalizer: Normalizer
) -> Calibration | None:
    """Return the calibration of each model; None without a question with one right option."""
    counted = {name: one_right(rows) for name, rows in by_model.items()}
    first = next(iter(counted.values()))
    if not first:
        return None
    return Calibration(
        normalizer=normalizer,
        n=len(first),
        guess_brier=sum(1 - 1 / len(row.options) for row in first) / len(first),
        models=tuple(_model(name, rows, normalizer) for name, rows in counted.items()),
    )


def _model(name: str, rows: Sequence[QuestionRow], normalizer: Normalizer) -> ModelCalibration:
    clusters = [row.document_id for row in rows]
    every = [softmax(row.normalized(normalizer)) for row in rows]
    chosen = [row.likeliest(normalizer)[0] for row in rows]
    probability = np.array([own[option] for own, option in zip(every, chosen, strict=True)])
    right = np.array([float(row.gold[0] == own) for row, own in zip(rows, chosen, strict=True)])
    brier = [
        [float(((own - np.eye(len(own))[row.gold[0]]) ** 2).sum()), 1.0]
        for row, own in zip(rows, every, strict=True)
    ]
    place, noise = bin_numbers(probability), ece_if_calibrated(probability)
    return ModelCalibration(
        name=name,
        probability=float(probability.mean()),
        overconfidence=paired_difference(probability.tolist(), right.tolist(), clusters),
        brier=bootstrap_interval(brier, clusters, ratio, resamples=RESAMPLES),
        ece=ece_interval(probability, right, clusters, noise),
        ece_if_calibrated=noise,
        bins=tuple(
            _bin(number, probability, right, clusters, place == number)
            for number in sorted(set(place.tolist()))
        ),
    )


def ece_interval(
    probability: NDArray[np.float64],
    right: NDArray[np.float64],
    clusters: Sequence[str],
    noise: float,
) -> Interval:
    """Return the expected calibration error with its interval; `noise` is `ece_if_calibrated`."""
    columns = np.ones((len(right), BINS + 1))  # the distances by bin, and 1
    columns[:, :BINS] = (probability - right)[:, None] * _in_bins(probability)
    found = bootstrap_interval(
        columns.tolist(), clusters, _error, resamples=RESAMPLES, shifted=True
    )
    return replace(found, low=0.0 if found.mean <= noise else max(0.0, found.low))


def ece_if_calibrated(probability: NDArray[np.float64]) -> float:
    """Return the ECE that a calibrated model with these probabilities stays below in 95%."""
    rng = np.random.default_rng(0)
    right = rng.random((SIMULATED, len(probability))) < probability
    by_bin = np.abs((right - probability) @ _in_bins(probability)).sum(axis=1)
    return float(np.quantile(by_bin, CONFIDENCE)) / len(probability)


def bin_numbers(probability: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the number of the bin of each probability; 1 belongs to the last bin."""
    return np.minimum((probability * BINS).astype(np.int64), BINS - 1)


def _in_bins(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 at the bin of each probability and 0 elsewhere, shaped (questions, bins)."""
    found: NDArray[np.float64] = np.eye(BINS)[bin_numbers(probability)]
    return found


def _error(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.abs(sums[..., :BINS]).sum(axis=-1) / sums[..., BINS]
    return found


def _bin(
    number: int,
    probability: NDArray[np.float64],
    right: NDArray[np.float64],
    clusters: Sequence[str],
    inside: NDArray[np.bool_],
) -> ReliabilityBin:
    own = [cluster for cluster, one in zip(clusters, inside, strict=True) if one]
    return ReliabilityBin(
        low=number / BINS,
        high=(number + 1) / BINS,
        probability=float(probability[inside].mean()),
        accuracy=mean_interval(right[inside].tolist(), own),
    )
