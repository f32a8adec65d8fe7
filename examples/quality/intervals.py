"""Print how exactly QuALITY's questions measure an accuracy, and which differences they detect.

    python examples/quality/intervals.py

Studies are simulated: each of 265 documents has a mean of its own, so that answers within a
document are correlated (ICC), and 4,609 questions are right or wrong. Intervals are those of `steep
evaluate`, the median of 100 studies; differences are those that four of five studies find.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from steep.evaluation.power import DifferenceSpread, SetSize, detectable
from steep.evaluation.statistics import mean_interval

DOCUMENTS, QUESTIONS = 265, 4609
STUDIES = 100
DISCORDANT = 0.35  # share of the questions on which one of two models is right and the other wrong
ACCURACIES = {"base": 0.395, "EntiGraph": 0.562}  # of the paper
CORRELATIONS = (0.0, 0.02, 0.05, 0.10)


@dataclass(frozen=True, slots=True)
class Precision:
    """What the questions resolve at one correlation within documents, in percentage points."""

    icc: float
    half_widths: dict[str, float]
    detectable: float


def half_width(accuracy: float, icc: float, seed: int = 0) -> float:
    """Return the median half width of the 95% interval, as a share."""
    random = np.random.default_rng(seed)
    per_document = np.diff(np.linspace(0, QUESTIONS, DOCUMENTS + 1).astype(int))
    clusters = np.repeat([str(each) for each in range(DOCUMENTS)], per_document).tolist()
    widths = []
    for _ in range(STUDIES):
        means = np.full(DOCUMENTS, accuracy)
        if icc:
            scale = (1 - icc) / icc  # of a beta distribution with this correlation
            means = random.beta(accuracy * scale, (1 - accuracy) * scale, DOCUMENTS)
        right = random.random(QUESTIONS) < np.repeat(means, per_document)
        found = mean_interval(right.astype(float).tolist(), clusters)
        widths.append((found.high - found.low) / 2)
    return float(np.median(widths))


def _spread(icc: float) -> DifferenceSpread:
    return DifferenceSpread(discordant=DISCORDANT, icc=icc)


def precision() -> list[Precision]:
    """Compute a row for each correlation."""
    size = SetSize(QUESTIONS, DOCUMENTS, QUESTIONS / DOCUMENTS)
    return [
        Precision(
            icc,
            {name: 100 * half_width(each, icc) for name, each in ACCURACIES.items()},
            100
            * (detectable(DifferenceSpread(discordant=DISCORDANT, icc=icc), size) or float("nan")),
        )
        for icc in CORRELATIONS
    ]


def main() -> None:
    """Print the table."""
    print("ICC    base 39.5   EntiGraph 56.2   detectable difference   (percentage points)")
    for each in precision():
        base, trained = each.half_widths.values()
        print(
            f"{each.icc:.2f}   +- {base:.1f}      +- {trained:.1f}           {each.detectable:.1f}"
        )


if __name__ == "__main__":
    main()
