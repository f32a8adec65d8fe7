"""The points of a curve: grades of trained models by training tokens and seed, and resamples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from steep.evaluation.statistics import bootstrap_levels

LEAST_DOCUMENTS = 4  # each of three is drawn three times in 4% of resamples
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class AccuracyCurve:
    """The grades of models that differ only in their tokens and seed.

    Attributes:
        tokens: Tokens of each model's texts, shape (P,).
        grades: The grade of each model for each question, 0 to 1, shape (P, Q).
        documents: The document of each question, shape (Q,).
    """

    tokens: Sequence[int]
    grades: Numbers
    documents: Sequence[str]

    @cached_property
    def sizes(self) -> Numbers:
        """The distinct numbers of tokens, ascending, shape (X,)."""
        return np.array(sorted(set(self.tokens)), np.float64)

    @cached_property
    def seeds(self) -> NDArray[np.int64]:
        """The number of models of each size, shape (X,)."""
        return np.bincount(self._size_of, minlength=len(self.sizes))

    @cached_property
    def accuracies(self) -> Numbers:
        """The mean grade of each model, shape (P,)."""
        accuracies: Numbers = self.grades.mean(axis=1)
        return accuracies

    @property
    def means(self) -> Numbers:
        """The mean grade of all models of a size, shape (X,)."""
        means: Numbers = np.bincount(self._size_of, self.accuracies) / self.seeds
        return means

    @cached_property
    def enough_documents(self) -> bool:
        """Whether documents are enough to be resampled."""
        return len(set(self.documents)) >= LEAST_DOCUMENTS

    @cached_property
    def levels(self) -> tuple[float, float]:
        """The levels of a 95% percentile interval over resamples, wider with few documents."""
        return bootstrap_levels(max(2, len(set(self.documents))))

    def resampled_means(self, resamples: int, seed: int) -> Numbers:
        """Draw documents, and deviations of models, with replacement; return means, shape (B, X).

        One draw of documents holds for all models, which answer the same questions. Deviations of
        models from the mean of their size are drawn from those of all sizes.
        """
        random = np.random.default_rng(seed)
        _, member = np.unique(np.asarray(self.documents), return_inverse=True)
        clusters = int(member.max()) + 1
        sums = np.zeros((clusters, len(self.grades)))
        np.add.at(sums, member, self.grades.T)
        counts = random.multinomial(clusters, np.full(clusters, 1 / clusters), resamples)
        accuracies = counts @ sums / (counts @ np.bincount(member))[:, None]  # (B, P)
        pool, means = self._deviations, np.empty((resamples, len(self.sizes)))
        for size, models in enumerate(self._models_by_size):
            means[:, size] = accuracies[:, models].mean(axis=1)
            if len(pool):
                drawn = random.integers(len(pool), size=(resamples, len(models)))
                means[:, size] += pool[drawn].mean(axis=1)
        return means

    def without_largest(self) -> AccuracyCurve:
        """Return the curve without the models of the largest size."""
        kept = self._size_of < len(self.sizes) - 1
        tokens = np.asarray(self.tokens)[kept].tolist()
        return AccuracyCurve(tokens, self.grades[kept], self.documents)

    @cached_property
    def _size_of(self) -> NDArray[np.int64]:
        return np.searchsorted(self.sizes, np.asarray(self.tokens, np.float64))

    @cached_property
    def _models_by_size(self) -> list[NDArray[np.int64]]:
        return [np.flatnonzero(self._size_of == size) for size in range(len(self.sizes))]

    @cached_property
    def _deviations(self) -> Numbers:
        """Each model's accuracy minus the mean of its size, widened so that variance is unbiased.

        Sizes with one model have none.
        """
        several = self.seeds[self._size_of] > 1
        own, seeds = self._size_of[several], self.seeds[self._size_of][several]
        deviations: Numbers = self.accuracies[several] - self.means[own]
        return deviations * np.sqrt(seeds / (seeds - 1))
