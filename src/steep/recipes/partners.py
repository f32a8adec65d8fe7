"""Which documents belong together: those that share rare entities, and what to show of them."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from steep.core.ids import derive_seed
from steep.core.words import word_spans
from steep.documents.document import Document
from steep.documents.mentions import mention_index

Key = tuple[str, ...]  # the folded words of a name, without an article
GAP = "\n[...]\n"  # between two parts of an excerpt
MOST_LISTING = 200  # documents that a rare entity may link, as each of them meets all others
MOST_SHOWN_NAMES = 8  # of those that two documents share, the rarest first


class Partner(NamedTuple):
    """Another document, and the entities shared with it as it spells them, the rarest first."""

    document_id: str
    shared: tuple[str, ...]


def keys_of(document: Document, entities: Sequence[str]) -> dict[Key, str]:
    """Return the entities of a document by what is compared between documents."""
    found = mention_index(document.text).find(entities)
    return {words: name for name, words in reversed(list(found))}


def partners_of(
    documents: Sequence[Document],
    entities: Mapping[str, Mapping[Key, str]],
    rare_share: float,
    most: int,
    seed: int,
) -> dict[str, tuple[Partner, ...]]:
    """Return the best partners of each document, the best one first.

    Two documents are worth the sum of log((n + 1) / k) over the rare entities that both list, where
    n is the number of documents and k that of those which list the entity. An entity is rare if
    at most `rare_share` of the documents list it (two at least, `MOST_LISTING` at most). Ties are
    broken by the seed. Parts of one document are no partners.
    """
    whole = {each.id: each.whole_id for each in documents}
    listed: dict[Key, list[str]] = defaultdict(list)
    for document in documents:
        for key in entities[document.id]:
            listed[key].append(document.id)
    limit = max(2, min(math.floor(rare_share * len(documents)), MOST_LISTING))
    weights = {
        key: math.log((len(documents) + 1) / len(ids))
        for key, ids in listed.items()
        if 2 <= len(ids) <= limit
    }
    found = {}
    for document in documents:
        shared: dict[str, list[Key]] = defaultdict(list)
        for key in filter(weights.__contains__, entities[document.id]):
            for other in listed[key]:
                if whole[other] != document.whole_id:
                    shared[other].append(key)
        worth = {other: sum(map(weights.__getitem__, keys)) for other, keys in shared.items()}
        ranked = sorted(
            worth, key=lambda other: (-worth[other], derive_seed(seed, document.id, other))
        )
        found[document.id] = tuple(
            Partner(other, _spelled(shared[other], weights, entities[other]))
            for other in ranked[:most]
        )
    return found


def _spelled(
    keys: Sequence[Key], weights: Mapping[Key, float], names: Mapping[Key, str]
) -> tuple[str, ...]:
    rarest = sorted(keys, key=lambda key: (-weights[key], key))
    return tuple(names[key] for key in rarest[:MOST_SHOWN_NAMES])


def excerpt(text: str, names: Sequence[str], most_words: int) -> str:
    """Return a text whole if it is short, else at most so many words around the names.

    Each name gets an equal share around its first mentions. Of a text without a literal mention
    (in another form, for example), it is the beginning.
    """
    spans = word_spans(text)
    if len(spans) <= most_words:
        return text
    starts = [start for start, _ in spans]
    kept: set[int] = set()
    share = most_words // max(1, len(names))
    for name in names:
        pattern = r"\s+".join(map(re.escape, name.split()))
        places = [found.start() for found in re.finditer(pattern, text, re.IGNORECASE)]
        own = 0
        width = min(share, max(8, share // max(1, min(len(places), 3))))
        for place in places:
            word = bisect_right(starts, place) - 1
            first = max(0, min(word - width // 2, len(spans) - width))
            new = set(range(first, min(len(spans), first + width))) - kept
            if own + len(new) > share:
                break
            own += len(new)
            kept |= new
    chosen = sorted(kept) or list(range(most_words))
    parts: list[list[int]] = []
    for word in chosen:
        if parts and word == parts[-1][1] + 1:
            parts[-1][1] = word
        else:
            parts.append([word, word])
    return GAP.join(text[spans[first][0] : spans[last][1]] for first, last in parts)
