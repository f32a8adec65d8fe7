"""The sources of an arm's texts: recipes, or parts of recipes.

A part is the first element of a passage's `subset`, such as the style of a rephrased text. In
`train.arms`, `rephrase/easy` is a part, and `rephrase/*` stands for each part with an equal share.
"""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from typing import Protocol

from steep.core.arms import PART, recipe_of
from steep.core.artifacts import Artifact
from steep.core.errors import UserError
from steep.core.formatting import some_of
from steep.corpus.passage import PASSAGES_NAME, TextPlace, stream_rows

EVERY = "*"
MOST_PARTS = 100  # that `recipe/*` stands for; EntiGraph's subjects are not parts to be balanced
SHOWN_PARTS = 10


class Sourced(Protocol):
    """What tells the source of a passage."""

    @property
    def recipe(self) -> str:
        """The name of its recipe."""

    @property
    def subset(self) -> Sequence[str]:
        """The subject of its call; the first element is its part."""


def source_of(passage: Sourced, sources: Container[str]) -> str | None:
    """Return which of the sources a passage belongs to, or None."""
    if passage.recipe in sources:
        return passage.recipe
    part = passage.recipe + PART + passage.subset[0] if passage.subset else None
    return part if part in sources else None


def shares_of(arm: str, weights: Mapping[str, float], corpus: Artifact) -> dict[str, float]:
    """Return the share of each source in the tokens of an arm; the sum is 1.

    Args:
        arm: Name of the arm, for messages.
        weights: Its weights in the configuration, by recipe, `recipe/part` or `recipe/*`.
        corpus: The texts, which tell the parts of a recipe.

    Raises:
        UserError: The corpus has no such part, the recipe has no parts, or a part is read twice.
    """
    divided = {recipe_of(name) for name in weights if PART in name}
    parts: dict[str, set[str]] = defaultdict(set)
    if divided:
        for place in stream_rows(corpus.path / PASSAGES_NAME, TextPlace):
            if place.recipe in divided and place.subset:
                parts[place.recipe].add(place.subset[0])
    shares: dict[str, float] = {}
    for name, weight in weights.items():
        own = _parts_of(arm, name, parts) if PART in name else [name]
        twice = [each for each in own if each in shares or recipe_of(each) in weights.keys() - own]
        if twice:
            raise UserError(
                f"The arm '{arm}' reads '{twice[0]}' twice.",
                where=f"train.arms.{arm}",
                expected="a recipe as a whole, all of its parts, or some of them",
                found=", ".join(weights),
            )
        shares |= dict.fromkeys(own, weight / len(own))
    whole = sum(shares.values())
    return {name: shares[name] / whole for name in sorted(shares)}


def _parts_of(arm: str, name: str, parts: Mapping[str, set[str]]) -> list[str]:
    """Return the parts that a name stands for, as names of sources."""
    recipe, _, part = name.partition(PART)
    known = sorted(parts.get(recipe, ()))
    if part in known:
        return [name]
    if part == EVERY and 0 < len(known) <= MOST_PARTS:
        return [recipe + PART + each for each in known]
    expected, found = some_of(known, SHOWN_PARTS), name
    if not known:
        expected = f"'{recipe}' as a whole: the corpus has no parts of it"
    elif part == EVERY:
        expected, found = f"at most {MOST_PARTS} parts", f"{len(known):,}: {some_of(known, 3)}"
    near = difflib.get_close_matches(part, known, n=1)
    raise UserError(
        f"The arm '{arm}' reads '{name}', but '{recipe}' is not in such parts.",
        where=f"train.arms.{arm}",
        expected=expected,
        found=found,
        hint=f"did you mean '{recipe}{PART}{near[0]}'?" if near else None,
    )
