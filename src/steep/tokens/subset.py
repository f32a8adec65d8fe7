"""Nested subsets of an arm's texts, balanced over documents, for the points of a scaling curve.

All texts are put into one order in which any prefix has the same share of every document's texts,
those of lowest rank first. A subset is the shortest prefix with as many tokens as are asked for, so
a smaller subset is part of every larger one. (The paper draws subsets at random.)
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from steep.core.artifacts import Artifact, Identity, Project, build
from steep.core.files import write_bytes
from steep.core.ids import derive_seed
from steep.corpus.passage import PASSAGES_NAME, TextPlace, stream_places
from steep.tokens.build import SUBSET_NAME, is_held_out
from steep.tokens.shard import open_shard

STAGE, VERSION = "subset", 1


class Subset(NamedTuple):
    """Numbers of texts in their shard, in balanced order, and their tokens."""

    texts: NDArray[np.int64]
    tokens: int


def balanced_order(places: Iterable[TextPlace]) -> NDArray[np.int64]:
    """Return the numbers of texts so that any prefix is balanced over documents and recipes.

    The k-th of n texts of a document (in one recipe) is at (k + u) / n, where u in [0, 1) depends
    on the document alone, so that a prefix shorter than the number of documents is a fair sample.
    """
    groups: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for number, place in enumerate(places):
        groups.setdefault((place.recipe, place.document_id), []).append((place.rank, number))
    keyed = []
    for group, members in groups.items():
        start = derive_seed("subset", *group) / 2**63
        for position, (_, number) in enumerate(sorted(members)):
            keyed.append(((position + start) / len(members), number))
    return np.array([number for _, number in sorted(keyed)], np.int64)


def prefix(order: NDArray[np.int64], lengths: NDArray[np.int64], tokens: int) -> Subset:
    """Return the shortest prefix with at least so many tokens, or all texts if there are fewer."""
    sums = np.cumsum(lengths[order])
    count = min(len(order), 1 + int(np.searchsorted(sums, tokens)))
    return Subset(order[:count], int(sums[count - 1]))


def build_subset(
    project: Project,
    corpus: Artifact,
    shard: Artifact,
    recipes: Container[str],
    holdout: float,
    tokens: int,
) -> Artifact:
    """Choose the subset of an arm's shard with at least `tokens` tokens, or all of its texts."""

    def make(directory: Path) -> dict[str, Any]:
        places = [
            each
            for each in stream_places(corpus.path / PASSAGES_NAME)
            if each.recipe in recipes and not is_held_out(each, holdout)
        ]
        lengths = np.diff(open_shard(shard.path).ends, prepend=0)
        assert len(places) == len(lengths), (len(places), len(lengths))
        subset = prefix(balanced_order(places), lengths, tokens)
        with BytesIO() as file:
            np.save(file, subset.texts)
            write_bytes(directory / SUBSET_NAME, file.getvalue())
        documents = {places[number].document_id for number in subset.texts.tolist()}
        return {
            "arm": shard.manifest["arm"],
            "passages": len(subset.texts),
            "tokens": subset.tokens,
            "documents": len(documents),
        }

    inputs = {"corpus": corpus, "shard": shard}
    identity = Identity(STAGE, VERSION, {"arm": shard.manifest["arm"], "tokens": tokens}, inputs)
    return build(project, identity, make, one_of_many=True)
