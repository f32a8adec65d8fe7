"""How often 95% intervals hold the truth, over 2,000 simulated studies of each kind.

    python benchmarks/coverage.py [--studies 2000] [--resamples 2000]

A study has 4 to 19 questions on each of some documents, as QuALITY has; a document's own rate
varies around the true one (beta or Dirichlet, with the correlation within documents that is named).
Columns, for the mean of right answers: `wilson` is `statistics.mean_interval`, `t` the plain
mean +- t * clustered error, `naive` Wilson's as if questions were independent, `boot`
`statistics.bootstrap_interval`. For the paired difference of two models, of which only the first is
right on `rate` + 0.1 of the questions and only the second on `rate`: `pairs` is
`statistics.paired_difference`, `boot` `statistics.paired_bootstrap`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from steep.evaluation.statistics import (
    bootstrap_interval,
    mean_interval,
    paired_bootstrap,
    paired_difference,
    ratio,
)

DOCUMENTS = (6, 10, 20, 53)
RATES = (0.5, 0.3, 0.1, 0.05)
CORRELATIONS = (0.0, 0.1, 0.3)


class Study(NamedTuple):
    """Which of several outcomes each question had, and its document."""

    outcomes: NDArray[np.int64]
    clusters: list[str]


def main() -> None:
    """Print two tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--resamples", type=int, default=2000)
    options = parser.parse_args()
    print("mean       documents rate correlation wilson     t naive  boot")
    for documents in DOCUMENTS:
        for rate in RATES:
            for correlation in CORRELATIONS:
                drawn = studies(options.studies, documents, (rate, 1 - rate), correlation)
                found = means(drawn, rate, options.resamples)
                print(f"           {documents:9} {rate:4} {correlation:11} {found}", flush=True)
    print("difference documents rate correlation  pairs  boot")
    for documents in DOCUMENTS:
        for rate in (0.2, 0.05):
            for correlation in CORRELATIONS:
                chances = (rate + 0.1, rate, 0.9 - 2 * rate)
                drawn = studies(options.studies, documents, chances, correlation)
                found = differences(drawn, options.resamples)
                print(f"           {documents:9} {rate:4} {correlation:11} {found}", flush=True)


def studies(
    count: int, documents: int, chances: tuple[float, ...], correlation: float
) -> Iterator[Study]:
    """Simulate studies."""
    rng = np.random.default_rng(int(1000 * (documents + sum(chances[:1]) + correlation)))
    for _ in range(count):
        member = np.repeat(np.arange(documents), rng.integers(4, 20, documents))
        own = np.tile(chances, (documents, 1))
        if correlation:
            own = rng.dirichlet(np.array(chances) * (1 / correlation - 1), documents)
        outcomes = (rng.random(len(member))[:, None] > own[member].cumsum(1)).sum(1)
        yield Study(outcomes, [str(each) for each in member])


def means(drawn: Iterator[Study], rate: float, resamples: int) -> str:
    """The shares of four intervals of a mean that hold the rate."""
    held = []
    for outcomes, clusters in drawn:
        right = (outcomes == 0).astype(float)
        columns = np.stack([right, np.ones_like(right)], axis=1)
        apart = [str(number) for number in range(len(right))]
        boot = bootstrap_interval(columns.tolist(), clusters, ratio, resamples=resamples)
        intervals = [mean_interval(right.tolist(), clusters), mean_interval(right.tolist(), apart)]
        bounds = [(each.low, each.high) for each in (*intervals, boot)]
        bounds.insert(1, plain_t(right, clusters))
        held.append([low <= rate <= high for low, high in bounds])
    return " ".join(f"{100 * share:5.1f}" for share in np.mean(held, axis=0))


def differences(drawn: Iterator[Study], resamples: int) -> str:
    """The shares of two intervals of a difference that hold the true one, 0.1."""
    held = []
    for outcomes, clusters in drawn:
        a, b = (outcomes == 0).astype(float).tolist(), (outcomes == 1).astype(float).tolist()
        found = (
            paired_difference(a, b, clusters),
            paired_bootstrap(a, b, clusters, resamples=resamples),
        )
        held.append([each.low <= 0.1 <= each.high for each in found])
    return "  ".join(f"{100 * share:5.1f}" for share in np.mean(held, axis=0))


def plain_t(right: NDArray[np.float64], clusters: list[str]) -> tuple[float, float]:
    """Mean +- t * clustered standard error."""
    member = np.unique(clusters, return_inverse=True)[1]
    sums = np.bincount(member, right - right.mean())
    documents = len(sums)
    error = float(np.sqrt(documents / (documents - 1) * (sums**2).sum())) / len(right)
    half = float(stdtrit(documents - 1, 0.975)) * error
    return float(right.mean()) - half, float(right.mean()) + half


if __name__ == "__main__":
    main()
