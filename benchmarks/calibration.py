"""How often the interval of the expected calibration error (ECE) holds the true one.

    python -m benchmarks.calibration [--studies 500]

A study has 4 to 19 questions on each of some documents. The probability of a chosen option is
drawn between 0.25 and 1, and the option is right with a probability that is equal to it
(`calibrated`), lower by a shift of its log-odds, or nearer to one half; the right answers of a
document's questions are correlated by a probit model. Columns: the true ECE in the ten bins, the
mean of the estimates, the mean of `ece_if_calibrated`, and in percent of studies:

- above: the estimate exceeds `ece_if_calibrated`;
- covers: the interval holds the true ECE;
- plain: the percentile interval, without the shift and the rule for noise, holds it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtri

from steep.evaluation.calibration import BINS, bin_numbers, ece_if_calibrated, ece_interval
from steep.evaluation.statistics import bootstrap_interval

DOCUMENTS = (6, 20, 50)
CORRELATIONS = (0.0, 0.2)
Floats = NDArray[np.float64]
MODELS: dict[str, Callable[[Floats], Floats]] = {
    "calibrated": lambda p: p,
    "shift 0.2": lambda p: expit(logit(p) - 0.2),
    "shift 0.5": lambda p: expit(logit(p) - 0.5),
    "shift 1.2": lambda p: expit(logit(p) - 1.2),
    "too bold": lambda p: expit(0.5 * logit(p)),
}


class Study(NamedTuple):
    """Probabilities of chosen options, which are right, and the document of each question."""

    probability: Floats
    right: Floats
    clusters: list[str]


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=500)
    count = parser.parse_args().studies
    print("documents correlation model       true   mean  noise  above  covers  plain")
    for documents in DOCUMENTS:
        for correlation in CORRELATIONS:
            for name, rate in MODELS.items():
                rng = np.random.default_rng(documents)
                drawn = [study(rng, documents, correlation, rate) for _ in range(count)]
                print(f"{documents:9} {correlation:11} {name:10} {row(drawn, true_ece(rate))}")


def probabilities(rng: np.random.Generator, count: int) -> Floats:
    """Draw probabilities of chosen options out of four."""
    return 0.25 + 0.75 * rng.beta(1.2, 2.5, count)


def study(
    rng: np.random.Generator, documents: int, correlation: float, rate: Callable[[Floats], Floats]
) -> Study:
    """Simulate one."""
    member = np.repeat(np.arange(documents), rng.integers(4, 20, documents))
    probability = probabilities(rng, len(member))
    shared = np.sqrt(correlation) * rng.normal(size=documents)[member]
    latent = shared + np.sqrt(1 - correlation) * rng.normal(size=len(member))
    right = (latent < ndtri(rate(probability))).astype(np.float64)
    return Study(probability, right, [str(each) for each in member])


def true_ece(rate: Callable[[Floats], Floats]) -> float:
    """Compute the ECE of a model without noise, from many probabilities."""
    probability = probabilities(np.random.default_rng(0), 400_000)
    place, distance = bin_numbers(probability), probability - rate(probability)
    return float(np.abs(np.bincount(place, distance)).sum() / len(place))


def row(drawn: list[Study], true: float) -> str:
    """Return the columns of a kind of study."""
    noise = [ece_if_calibrated(each.probability) for each in drawn]
    found = [ece_interval(*each, limit) for each, limit in zip(drawn, noise, strict=True)]
    plain = [percentile(each) for each in drawn]
    means = (true, np.mean([each.mean for each in found]), np.mean(noise))
    shares = (
        np.mean([each.mean > limit for each, limit in zip(found, noise, strict=True)]),
        np.mean([each.low <= true <= each.high for each in found]),
        np.mean([low <= true <= high for low, high in plain]),
    )
    columns = [f"{value:5.3f}" for value in means], [f"{100 * each:5.1f}" for each in shares]
    return "  ".join([*columns[0], *columns[1]])


def percentile(each: Study) -> tuple[float, float]:
    """Return the interval by resampling documents alone."""
    columns = np.ones((len(each.right), BINS + 1))
    distance = each.probability - each.right
    columns[:, :BINS] = distance[:, None] * np.eye(BINS)[bin_numbers(each.probability)]

    def score(sums: Floats) -> Floats:
        total: Floats = np.abs(sums[..., :BINS]).sum(axis=-1) / sums[..., BINS]
        return total

    found = bootstrap_interval(columns.tolist(), each.clusters, score, resamples=1000)
    return found.low, found.high


if __name__ == "__main__":
    main()
