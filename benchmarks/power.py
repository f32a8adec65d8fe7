"""The stated power of a question set beside that of simulated studies.

    python benchmarks/power.py [--studies 2000]

Pairs of models are right or wrong on questions about documents. Per document, the shares of
questions on which the first, the second, or neither alone is right vary (a Dirichlet distribution),
which gives the differences the named correlation within documents (ICC). Columns: the true
difference (in points, the one that is stated to be found in four of five studies), and the share of
studies that find it, in percent, for one planned comparison (`one`), and for the only true one
among three, with Holm's correction (`Holm`): each stated (by `steep.evaluation.power`), and in
simulated studies that are tested as `steep.evaluation.compare` tests.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from steep.evaluation.power import DifferenceSpread, SetSize, detectable, power_of
from steep.evaluation.statistics import holm, paired_p

DISCORDANT = 0.35
COMPARISONS = 3
MOST_GAIN = 0.3  # below the share of questions on which models differ


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=2000)
    options = parser.parse_args()
    print("documents  per document   ICC  difference  one: stated  found  Holm: stated  found")
    for documents in (6, 12, 30, 100):
        for per_document in (2, 10, 30):
            for icc in (0.0, 0.05, 0.1, 0.3):
                spread = DifferenceSpread(discordant=DISCORDANT, icc=icc)
                size = SetSize.of([per_document] * documents)
                gain = min(MOST_GAIN, detectable(spread, size) or MOST_GAIN)
                stated = [power_of(spread, size, gain, number) for number in (1, COMPARISONS)]
                rng = np.random.default_rng(documents * per_document)
                found = simulated_power(rng, options.studies, documents, per_document, icc, gain)
                row = f"{documents:9}  {per_document:12}  {icc:4}  {100 * gain:10.1f}"
                for one, other, width in zip(stated, found, (11, 12), strict=True):
                    row += f"  {100 * one:{width}.1f}  {100 * other:5.1f}"
                print(row, flush=True)


def simulated_power(
    rng: np.random.Generator,
    studies: int,
    documents: int,
    per_document: int,
    icc: float,
    gain: float,
) -> tuple[float, float]:
    """Return the share of studies that find a difference, alone and among three (Holm)."""
    clusters = [str(each) for each in np.repeat(np.arange(documents), per_document)]
    alone = corrected = 0
    for _ in range(studies):
        p_values = [
            paired_p(*differing(rng, documents, per_document, icc, own), clusters)
            for own in (gain, *[0.0] * (COMPARISONS - 1))
        ]
        alone += p_values[0] < 0.05
        corrected += holm(p_values)[0] < 0.05
    return alone / studies, corrected / studies


def differing(
    rng: np.random.Generator, documents: int, per_document: int, icc: float, gain: float
) -> tuple[list[float], list[float]]:
    """Draw the answers of two models to all questions."""
    rates = np.array([(DISCORDANT + gain) / 2, (DISCORDANT - gain) / 2, 1 - DISCORDANT])
    own: NDArray[np.float64] = np.tile(rates, (documents, 1))
    if icc > 0:
        own = rng.dirichlet(rates * (1 / icc - 1), documents)
    shares = np.repeat(own, per_document, axis=0)
    outcome = (rng.random(len(shares))[:, None] > shares.cumsum(axis=1)).sum(axis=1)
    return (outcome == 0).astype(float).tolist(), (outcome == 1).astype(float).tolist()


if __name__ == "__main__":
    main()
