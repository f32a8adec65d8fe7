"""The synthetic texts that models were trained on, as a stage hands them to an evaluation.

The corpus is a package that this one may not import, so it comes as an artifact with two functions
that read it, passage by passage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from steep.core.artifacts import Artifact
from steep.core.calls import RAW_RECIPE


@dataclass(frozen=True)
class SyntheticTexts:
    """A corpus, read lazily: the raw documents are in it, as texts of the recipe `documents`.

    Attributes:
        corpus: The artifact.
        read_texts: Yields id, recipe and text of each passage, in order.
        read_places: Yields id, recipe, document and rank of each passage, in order.
    """

    corpus: Artifact
    read_texts: Callable[[], Iterator[tuple[str, str, str]]]
    read_places: Callable[[], Iterator[tuple[str, str, str, int]]]

    def texts(self) -> Iterator[tuple[str, str, str]]:
        """Yield id, recipe and text of each synthetic passage."""
        return (each for each in self.read_texts() if each[1] != RAW_RECIPE)

    def places(self) -> Iterator[tuple[str, str, str, int]]:
        """Yield id, recipe, document and rank of each synthetic passage."""
        return (each for each in self.read_places() if each[1] != RAW_RECIPE)
