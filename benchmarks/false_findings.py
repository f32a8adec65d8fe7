"""How often equal models are "found" to differ, and how often a true difference is.

    python benchmarks/false_findings.py [--studies 2000]

Three models answer the same questions; the three comparisons are planned and corrected (Holm).
Whether a model is right on a question depends on the question, the document, and how well that
model knows that document (the correlation of differences within documents that is named), by a
probit model. Columns, in percent of studies:

- found: at least one comparison of three equal models has a corrected p below 0.05;
- one pair: the uncorrected p of one comparison is below 0.05;
- McNemar: at least one comparison by McNemar's test with Holm's correction, which takes questions
  as independent;
- power: a comparison of a difference of the median minimum detectable difference is below 0.05.
"""

from __future__ import annotations

import argparse
from collections import Counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from steep.evaluation.power import SetSize, spread_of
from steep.evaluation.power import detectable as smallest_difference
from steep.evaluation.statistics import (
    holm,
    mcnemar_exact,
    paired_p,
)

DOCUMENTS = (5, 6, 12, 20, 50)
CORRELATIONS = (0.0, 0.1, 0.2, 0.3)
RATE = 0.5
PAIRS = ((1, 0), (2, 0), (2, 1))


class Study(NamedTuple):
    """Right or wrong, shaped (models, questions), and the document of each question."""

    right: NDArray[np.float64]
    clusters: list[str]


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=2000)
    options = parser.parse_args()
    print("documents sizes   correlation  found  one pair  McNemar  power")
    for documents in DOCUMENTS:
        for sizes in ("equal", "unequal"):
            for correlation in CORRELATIONS:
                rng = np.random.default_rng(documents * 100 + int(correlation * 10))
                equal = [
                    study(rng, documents, sizes, correlation, 0.0) for _ in range(options.studies)
                ]
                shares = errors(equal)
                smallest = [detectable(each) for each in equal[: options.studies // 4]]
                gain = float(np.median(smallest))
                power = np.mean(
                    [
                        pair_p(study(rng, documents, sizes, correlation, gain), (1, 0)) < 0.05
                        for _ in range(options.studies // 4)
                    ]
                )
                row = "  ".join(f"{100 * share:7.1f}" for share in (*shares, power))
                print(f"{documents:9} {sizes:8} {correlation:10} {row}", flush=True)


def study(
    rng: np.random.Generator, documents: int, sizes: str, correlation: float, gain: float
) -> Study:
    """Simulate one; the second model is right on `gain` more of the questions."""
    if sizes == "equal":
        counts = np.full(documents, 12)
    else:
        counts = np.maximum(3, rng.lognormal(np.log(12) - 0.35, 0.8, documents).astype(int))
    member = np.repeat(np.arange(documents), counts)
    # Of the variance of a model's own answers, a share is common to a document's questions.
    shared, own = np.sqrt(correlation), np.sqrt(1 - correlation)
    question = rng.normal(size=len(member))  # how hard it is, for all models
    document = rng.normal(size=documents)[member]
    knows = rng.normal(size=(3, documents))[:, member]
    luck = rng.normal(size=(3, len(member)))
    common = 0.8 * question + 0.4 * document
    latent = (common + shared * knows + own * luck) / np.sqrt(1 + 0.8**2 + 0.4**2)
    rates = np.array([RATE, RATE + gain, RATE])
    right = latent < ndtri(np.minimum(rates, 0.999))[:, None]
    return Study(right.astype(np.float64), [str(each) for each in member])


def errors(studies: list[Study]) -> tuple[float, float, float]:
    """The shares of studies with a false finding, by three rules."""
    found = []
    for each in studies:
        p_values = [pair_p(each, pair) for pair in PAIRS]
        exact = [mcnemar_exact(each.right[a] == 1, each.right[b] == 1) for a, b in PAIRS]
        found.append((min(holm(p_values)) < 0.05, p_values[0] < 0.05, min(holm(exact)) < 0.05))
    first, second, third = np.mean(found, axis=0)
    return float(first), float(second), float(third)


def pair_p(each: Study, pair: tuple[int, int]) -> float:
    """The p of one comparison."""
    a, b = pair
    return paired_p(each.right[a].tolist(), each.right[b].tolist(), each.clusters)


def detectable(each: Study) -> float:
    """What the study says that it could detect."""
    spread = spread_of((each.right[1] - each.right[0]).tolist(), each.clusters)
    size = SetSize.of([*Counter(each.clusters).values()])
    return min(smallest_difference(spread, size) or 1.0, 0.49)


if __name__ == "__main__":
    main()
