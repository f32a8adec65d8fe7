"""The points of a curve: grades of trained models by training tokens and seed, and resamples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
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

    @property
    def seed_variance(self) -> float:
        """The variance between models of one size, pooled over sizes; NaN with one seed each."""
        degrees = int((self.seeds - 1).sum())
        if degrees == 0:
            return float("nan")
        return float(((self.accuracies - self.means[self._size_of]) ** 2).sum()) / degrees

    def resampled_means(self, resamples: int, seed: int) -> Numbers:
        """Draw documents, and models of each size, with replacement; return means, shape (B, X).

        One draw of documents holds for all models, which answer the same questions.
        """
        random = np.random.default_rng(seed)
        _, member = np.unique(np.asarray(self.documents), return_inverse=True)
        clusters = int(member.max()) + 1
        sums = np.zeros((clusters, len(self.grades)))
        np.add.at(sums, member, self.grades.T)
        counts = random.multinomial(clusters, np.full(clusters, 1 / clusters), resamples)
        accuracies = counts @ sums / (counts @ np.bincount(member))[:, None]  # (B, P)
        means = np.empty((resamples, len(self.sizes)))
        for size, models in enumerate(self._models_by_size):
            drawn = random.integers(len(models), size=(resamples, len(models)))
            own = accuracies[np.arange(resamples)[:, None], models[drawn]]
            means[:, size] = own.mean(axis=1)
        return means

    def without_largest(self) -> Curve:
        """Return the curve without the models of the largest size."""
        kept = self._size_of < len(self.sizes) - 1
        tokens = np.asarray(self.tokens)[kept].tolist()
        return Curve(tokens, self.grades[kept], self.documents)

    @cached_property
    def _size_of(self) -> NDArray[np.int64]:
        return np.searchsorted(self.sizes, np.asarray(self.tokens, np.float64))

    @cached_property
    def _models_by_size(self) -> list[NDArray[np.int64]]:
        return [np.flatnonzero(self._size_of == size) for size in range(len(self.sizes))]
