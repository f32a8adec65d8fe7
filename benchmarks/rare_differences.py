"""What is said of two models that rarely differ, and of models that never do.

    python -m benchmarks.rare_differences [--studies 2000]

Two models differ on a small share of the questions (`rate`), as often to the advantage of either,
or always to that of the first; a document's own rates vary (Dirichlet, with the correlation that is
named), and it has 4 to 19 questions. Columns, in percent of studies:

- none: the models never differ;
- size: equal models have an uncorrected p below 0.05;
- covers: the 95% interval of the difference holds the true one, 0 and then `rate`.

The last columns are the mean width of the interval, in points, in studies of equal models in which
none, one and two questions differ: a step between them would be an artifact of the method.
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

import numpy as np

from benchmarks.coverage import Study, studies
from steep.evaluation.statistics import paired_difference, paired_p

DOCUMENTS = (6, 12, 50)
RATES = (0.005, 0.02, 0.05)
CORRELATIONS = (0.0, 0.1, 0.3)


class Outcome(NamedTuple):
    """What was said of one study."""

    differ: int  # questions on which the models differ
    p: float
    low: float
    high: float


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=2000)
    count = parser.parse_args().studies
    print("documents  rate correlation  none  size  covers 0  covers rate  width 0    1    2")
    for documents in DOCUMENTS:
        for rate in RATES:
            for correlation in CORRELATIONS:
                either = (rate / 2, rate / 2, 1 - rate)
                equal = [told(each) for each in studies(count, documents, either, correlation)]
                one = [
                    told(each)
                    for each in studies(
                        count, documents, (rate, 1e-9, 1 - rate - 1e-9), correlation
                    )
                ]
                print(
                    f"{documents:9} {rate:5} {correlation:11} {row(equal, one, rate)}", flush=True
                )


def told(study: Study) -> Outcome:
    """Compare the two models of a study."""
    a, b = ((study.outcomes == each).astype(float).tolist() for each in (0, 1))
    found = paired_difference(a, b, study.clusters)
    differ = int(np.isin(study.outcomes, (0, 1)).sum())
    return Outcome(differ, paired_p(a, b, study.clusters), found.low, found.high)


def row(equal: list[Outcome], one: list[Outcome], rate: float) -> str:
    """Return the columns of a kind of study."""
    shares = (
        np.mean([each.differ == 0 for each in equal]),
        np.mean([each.p < 0.05 for each in equal]),
        np.mean([each.low <= 0 <= each.high for each in equal]),
        np.mean([each.low <= rate <= each.high for each in one]),
    )
    widths = [
        [each.high - each.low for each in equal if each.differ == number] for number in range(3)
    ]
    shown = [f"{100 * np.mean(each):5.1f}" if each else "    -" for each in widths]
    return "  ".join([*(f"{100 * float(each):5.1f}" for each in shares), *shown])


if __name__ == "__main__":
    main()
