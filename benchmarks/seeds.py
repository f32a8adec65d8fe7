"""How often the interval of a difference of two arms with several seeds holds the true difference.

    python benchmarks/seeds.py [--studies 2000]

Two arms are equal over all documents and trainings, and each is trained with some seeds. Whether a
model is right depends on the question, the document, how well its arm knows that document, its
seed, and luck, by a probit model. `training` is the standard deviation of what a seed does to all
answers of a model, `luck` the share of the remaining variance that another seed would change.

Columns, in percent of studies: the interval with the variance of training (`both`), the one that
takes the models as given (`questions`), as it is with one seed, and the first one if the other arm
is a base model that is not trained (`both, base`).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from steep.evaluation.statistics import TrainingVariance, paired_difference

QUESTIONS = 12  # per document
CORRELATION = 0.1  # of an arm's answers within documents
SEEDS = (2, 3, 5)


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=2000)
    options = parser.parse_args()
    print("documents  training  luck  seeds  both  questions  both, base")
    for documents in (6, 20, 50):
        for training in (0.0, 0.1, 0.3):
            for luck in (0.2, 0.8):
                for seeds in SEEDS:
                    rng = np.random.default_rng(documents)
                    both, alone = coverage(rng, options.studies, documents, training, luck, seeds)
                    row = f"{documents:9}  {training:8}  {luck:4}  {seeds:5}"
                    kind = documents, training, luck, seeds
                    against, _ = coverage(rng, options.studies, *kind, base=True)
                    print(
                        f"{row}  {100 * both:4.1f}  {100 * alone:9.1f}  {100 * against:10.1f}",
                        flush=True,
                    )


def coverage(
    rng: np.random.Generator,
    studies: int,
    documents: int,
    training: float,
    luck: float,
    seeds: int,
    *,
    base: bool = False,
) -> tuple[float, float]:
    """Return how often intervals hold zero: with the variance of training, and without it.

    With `base`, the second arm is a single model that is not trained.
    """
    clusters = [str(number) for number in np.repeat(np.arange(documents), QUESTIONS)]
    held = np.zeros(2)
    for a, b in simulated(rng, studies, documents, training, luck, seeds, base=base):
        arms = [arm for arm in (a, b) if len(arm) > 1]
        variances = [TrainingVariance.of(arm.mean(axis=1).tolist()) for arm in arms]
        sides = a.mean(axis=0).tolist(), b.mean(axis=0).tolist()
        found = [paired_difference(*sides, clusters, own) for own in (variances, [])]
        held += [each.low <= 0 <= each.high for each in found]
    both, alone = held / studies
    return float(both), float(alone)


def simulated(
    rng: np.random.Generator,
    studies: int,
    documents: int,
    training: float,
    luck: float,
    seeds: int,
    *,
    base: bool = False,
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Yield the right answers of both arms, each shaped (seeds, questions)."""
    member = np.repeat(np.arange(documents), QUESTIONS)
    n = len(member)
    for _ in range(studies):
        common = 0.8 * rng.normal(size=n) + 0.4 * rng.normal(size=documents)[member]
        knows = rng.normal(size=(2, 1, documents))[:, :, member]
        own = np.sqrt(1 - luck) * rng.normal(size=(2, 1, n))
        by_seed = np.sqrt(luck) * rng.normal(size=(2, seeds, n))
        shift = training * rng.normal(size=(2, seeds, 1))
        shift[1] *= not base
        parts = np.sqrt(CORRELATION) * knows + np.sqrt(1 - CORRELATION) * (own + by_seed)
        a, b = (common + parts + shift < 0).astype(np.float64)
        yield a, b[:1] if base else b


if __name__ == "__main__":
    main()
