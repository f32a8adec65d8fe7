"""What an arm reads: recipes as a list, or sources with their shares of its tokens.

A source is a recipe, or a part of one: `rephrase/easy`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from steep.core.formatting import count, percent

PART = "/"  # between a recipe and a part of it


def recipe_of(source: str) -> str:
    """Return the recipe of `recipe/part`, or the recipe itself."""
    return source.partition(PART)[0]


def recipes_read(arm: Iterable[str] | Mapping[str, float]) -> tuple[str, ...]:
    """Return the recipes that an arm reads: of a list as it is, of shares without the parts."""
    return tuple(dict.fromkeys(map(recipe_of, arm)) if isinstance(arm, Mapping) else arm)


@dataclass(frozen=True, slots=True)
class SourceUse:
    """What an arm takes of one source of texts, and what there is of it."""

    source: str
    share: float  # of the arm's tokens
    passages: int
    tokens: int
    available_passages: int  # those that are held out excluded
    available_tokens: int

    def __str__(self) -> str:
        part = "all" if self.tokens == self.available_tokens else f"{count(self.tokens)} of"
        return (
            f"{self.source}: {part} {count(self.available_tokens)} tokens ({percent(self.share)})"
        )
