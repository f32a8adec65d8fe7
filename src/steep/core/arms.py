"""The models of an arm, and what it reads: recipes as a list, or sources with their shares.

A source is a recipe, or a part of one: `rephrase/easy`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from steep.core.formatting import count, percent

PART = "/"  # between a recipe and a part of it
_SEED = "-seed"  # between an arm and the seed of its model


def recipe_of(source: str) -> str:
    """Return the recipe of `recipe/part`, or the recipe itself."""
    return source.partition(PART)[0]


def recipes_read(arm: Iterable[str] | Mapping[str, float]) -> tuple[str, ...]:
    """Return the recipes that an arm reads: of a list as it is, of shares without the parts."""
    return tuple(dict.fromkeys(map(recipe_of, arm)) if isinstance(arm, Mapping) else arm)


def names_by_seed(arm: str, first_seed: int, seeds: int) -> dict[str, int]:
    """Return the seeds of an arm's models by name; the first model has the name of its arm."""
    more = {f"{arm}{_SEED}{seed}": seed for seed in range(first_seed + 1, first_seed + seeds)}
    return {arm: first_seed, **more}


def arm_of(model: str, arms: Iterable[str]) -> str | None:
    """Return the arm of a model by its name; None if it is of none of these."""
    base, _, seed = model.rpartition(_SEED)
    named = {model, base} if seed.isdecimal() else {model}
    return next((arm for arm in arms if arm in named), None)


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
