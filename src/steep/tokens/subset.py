"""Nested subsets of an arm's texts, balanced over documents, for the points of a scaling curve.

All texts are put into one order in which any prefix has the same share of every document's texts,
those of lowest rank first. A subset is the shortest prefix with as many tokens as are asked for, so
a smaller subset is part of every larger one. (The paper draws subsets at random.)
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from steep.core.artifacts import Artifact, Identity, Project, build
from steep.core.files import write_bytes
from steep.core.ids import derive_seed
from steep.corpus.passage import PASSAGES_NAME, TextPlace, stream_rows
from steep.tokens.build import SUBSET_NAME, is_held_out
from steep.tokens.shard import open_shard
from steep.tokens.sources import source_of

STAGE, VERSION = "subset", 1
CHOSEN_NAME = "chosen.npy"  # which texts of its sources an arm with weights has, in order


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


def prefix(order: NDArray[np.int64], lengths: NDArray[np.int64], tokens: float) -> Subset:
    """Return the shortest prefix with at least so many tokens, or all texts if there are fewer."""
    sums = np.cumsum(lengths[order])
    count = min(len(order), 1 + int(np.searchsorted(sums, tokens)))
    return Subset(order[:count], int(sums[count - 1]))


def by_shares(
    places: Sequence[TextPlace],
    lengths: NDArray[np.int64],
    shares: Mapping[str, float],
    tokens: float,
) -> Subset:
    """Return texts of about `tokens` tokens, of which each source has its share.

    Of each source the prefix of its balanced order is taken, so that a smaller subset is part of
    every larger one. If a source has fewer tokens than its share, all sources have fewer.

    Args:
        places: Of all texts, (texts,).
        lengths: Tokens of the texts, (texts,).
        shares: Of each source in the tokens, by name; the sum is 1.
        tokens: Their wanted number; infinity for as many as the shares allow.
    """
    numbers: dict[str, list[int]] = {name: [] for name in shares}
    for number, place in enumerate(places):
        if (source := source_of(place, shares)) is not None:
            numbers[source].append(number)
    found = {name: np.array(own, np.int64) for name, own in numbers.items()}
    most = min(int(lengths[own].sum()) / shares[name] for name, own in found.items())
    chosen = []
    for name, own in found.items():
        order = own[balanced_order(places[number] for number in own.tolist())]
        chosen.append(prefix(order, lengths, min(tokens, most) * shares[name]))
    texts = np.concatenate([each.texts for each in chosen])
    return Subset(texts, sum(each.tokens for each in chosen))


def places_of(corpus: Artifact, sources: Container[str], holdout: float) -> list[TextPlace]:
    """Return the places of the texts of some sources that are not held out, in order."""
    places = stream_rows(corpus.path / PASSAGES_NAME, TextPlace)
    return [each for each in places if source_of(each, sources) and not is_held_out(each, holdout)]


def build_subset(
    project: Project,
    corpus: Artifact,
    shard: Artifact,
    recipes: Container[str],
    holdout: float,
    tokens: int,
) -> Artifact:
    """Choose the subset of an arm's shard with at least `tokens` tokens, or all of its texts.

    The subset of an arm with weights has the same weights.
    """
    shares = {each["source"]: each["share"] for each in shard.manifest.get("mix", ())}

    def make(directory: Path) -> dict[str, Any]:
        places = places_of(corpus, shares or recipes, holdout)
        if shares:
            places = [places[number] for number in np.load(shard.path / CHOSEN_NAME).tolist()]
        lengths = np.diff(open_shard(shard.path).ends, prepend=0)
        assert len(places) == len(lengths), (len(places), len(lengths))
        if shares:
            subset = by_shares(places, lengths, shares, tokens)
        else:
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
