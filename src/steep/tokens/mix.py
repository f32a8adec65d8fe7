"""Shards of arms with weights: each source of texts has its share of the arm's tokens.

The scarcest source is taken whole and sets the total. Of the others, a prefix is taken that is
balanced over documents. What is left out is counted in the manifest and logged.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from io import BytesIO
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steep.core.arms import SourceUse, recipe_of
from steep.core.artifacts import Artifact
from steep.core.errors import UserError
from steep.core.files import write_bytes
from steep.corpus.passage import TextPlace
from steep.tokens.build import ShardBuilder, check_recipes, counts, digest, is_held_out, passages_of
from steep.tokens.shard import write_shard
from steep.tokens.sources import shares_of, source_of
from steep.tokens.subset import CHOSEN_NAME, by_shares, places_of
from steep.tokens.tokenize import tokenized

log = logging.getLogger("steep")


def build_mix(
    builder: ShardBuilder, name: str, corpus: Artifact, weights: Mapping[str, float], holdout: float
) -> Artifact:
    """Tokenize the passages of an arm with weights.

    Raises:
        UserError: The corpus has no passage of a recipe or of a part, or all of them are held out.
    """
    check_recipes(corpus, name, list(map(recipe_of, weights)))
    shares = shares_of(name, weights, corpus)

    def texts() -> Iterator[str]:
        return passages_of(corpus, shares, lambda row: not is_held_out(row, holdout))

    def make(directory: Path) -> dict[str, Any]:
        tokenizer = builder.tokenizer()
        places = places_of(corpus, shares, holdout)
        lengths = np.concatenate([each.counts for each in tokenized(texts(), tokenizer)])
        _check_sources(name, places, shares)
        chosen = np.sort(by_shares(places, lengths, shares, math.inf).texts)
        with BytesIO() as file:
            np.save(file, chosen)
            write_bytes(directory / CHOSEN_NAME, file.getvalue())
        taken = np.zeros(len(places), bool)
        taken[chosen] = True
        manifest = write_shard(directory, compress(texts(), taken), tokenizer)
        uses = uses_of(places, lengths, shares, taken)
        log.info("tokenize: %s: %s", name, "; ".join(map(str, uses)))
        return {**counts(manifest), "mix": [asdict(use) for use in uses]}

    return builder.artifact(name, {"train.arms": shares, "texts": digest(texts())}, make)


def uses_of(
    places: Sequence[TextPlace],
    lengths: NDArray[np.int64],
    shares: Mapping[str, float],
    taken: NDArray[np.bool_],
) -> list[SourceUse]:
    """Return what is taken of each source.

    Args:
        places: Of all texts, (texts,).
        lengths: Tokens of the texts, (texts,).
        shares: Of each source in the tokens, by name.
        taken: Which texts the arm has, (texts,).
    """
    sources = np.array([source_of(place, shares) for place in places], object)
    uses = []
    for name, share in shares.items():
        own = sources == name
        used = own & taken
        sums = (
            int(each) for each in (used.sum(), lengths[used].sum(), own.sum(), lengths[own].sum())
        )
        uses.append(SourceUse(name, share, *sums))
    return uses


def _check_sources(arm: str, places: Sequence[TextPlace], shares: Mapping[str, float]) -> None:
    if missing := sorted(shares.keys() - {source_of(place, shares) for place in places}):
        raise UserError(
            f"The arm '{arm}' reads '{missing[0]}', of which no passage is left to train on.",
            where=f"train.arms.{arm}",
            expected="a passage that is not held out",
            found=missing[0],
            hint="generate more texts of it, or lower tokenize.holdout",
        )
