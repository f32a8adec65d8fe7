"""Near-duplicates: texts that share most of their sequences of words with an earlier one.

MinHash (Broder 1997) estimates the Jaccard similarity of two sets of 5-word sequences from 128
minima; locality-sensitive hashing finds the earlier texts worth comparing: those that agree in a
whole band of minima. A minimum is kept as 8 bits (b-bit minwise hashing, Li and Koenig 2010), a
band as a tag of 32 bits, under which its first text stays: some 300 bytes per text in arrays, and
no bucket that grows. All of it is integer arithmetic, so that every machine and version finds the
same.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from steep.core.words import word_scale, words_of

SHINGLE_WORDS = 5
MINIMA = 128
LEAST_RECALL = (
    0.9  # of pairs exactly as similar as the threshold; of more similar ones it is higher
)
SHINGLES_AT_ONCE = 1024
TEXTS_IN_BLOCK = 1 << 14
RECENT_TAGS = 1 << 18  # that wait in a dict for the sorted arrays
_LEVELS = 256  # values of a minimum that is kept
U64 = NDArray[np.uint64]


class Sketch(NamedTuple):
    """What stands for a text: 8 bits of each of its minima, and the tags of their bands."""

    minima: bytes
    tags: bytes  # 4 bytes per band


class SimilarText(NamedTuple):
    """An earlier text: its number among those that were added, and its Jaccard similarity."""

    number: int
    similarity: float


def sketch_of(text: str, threshold: float) -> Sketch:
    """Return the sketch of a text, for an index with this threshold."""
    minima = np.full(MINIMA, np.iinfo(np.uint64).max, np.uint64)
    factors, offsets = _permutations()
    for shingles in _shingles(text):
        hashed = shingles[:, None] * factors + offsets
        np.minimum(minima, hashed.min(axis=0), out=minima)
    minima = _mixed(minima)  # the low bits of a product are poor, and so would be those kept
    rows = rows_per_band(threshold)
    bands = np.arange(1, MINIMA // rows + 1, dtype=np.uint64)
    for column in minima[: len(bands) * rows].reshape(len(bands), rows).T:
        bands = _mixed(bands ^ column)
    return Sketch((minima % _LEVELS).astype(np.uint8).tobytes(), _tags(bands).tobytes())


@lru_cache
def rows_per_band(threshold: float) -> int:
    """Return the most minima per band that find pairs at the threshold with `LEAST_RECALL`."""

    def recall(rows: int) -> float:
        return 1.0 - float((1.0 - threshold**rows) ** (MINIMA // rows))

    return max((rows for rows in range(1, 17) if recall(rows) >= LEAST_RECALL), default=1)


class NearDuplicates:
    """An index of texts that finds those similar to a new one.

    Args:
        threshold: The Jaccard similarity of the sets of 5-word sequences from which on a text is
            a near-duplicate, above 0 and at most 1.
    """

    def __init__(self, threshold: float) -> None:
        chance = (1.0 - threshold) / _LEVELS  # of minima that agree in their 8 bits only
        self._least = math.ceil(MINIMA * (threshold + chance))
        self._number = 0
        self._blocks: list[NDArray[np.uint8]] = []  # the minima of each text
        self._tags = np.empty(0, np.uint32)  # in ascending order
        self._texts = np.empty(0, np.uint32)  # the number of the text under each tag
        self._recent: dict[int, int] = {}

    def add(self, sketch: Sketch, group: int = 0) -> bool:
        """Add a text, unless it is similar to an earlier one; return whether it was added.

        Args:
            sketch: Of the text.
            group: A number of 64 bits; only texts of one group are compared.
        """
        minima = np.frombuffer(sketch.minima, np.uint8)
        earlier, new = self._find(_grouped(sketch, group))
        if any(self._equal(each, minima) >= self._least for each in earlier):
            return False
        self._insert(minima, new)
        return True

    def add_and_compare(self, sketch: Sketch) -> SimilarText | None:
        """Add a text in any case; return the most similar earlier one if it is similar to any."""
        minima = np.frombuffer(sketch.minima, np.uint8)
        earlier, new = self._find(_grouped(sketch, 0))
        self._insert(minima, new)
        found = max(((self._equal(each, minima), -each) for each in earlier), default=(0, 0))
        if found[0] < self._least:
            return None
        share = (found[0] / MINIMA - 1 / _LEVELS) / (1 - 1 / _LEVELS)  # less those by chance
        return SimilarText(-found[1], share)

    def _insert(self, minima: NDArray[np.uint8], new_tags: Iterable[int]) -> None:
        block, row = divmod(self._number, TEXTS_IN_BLOCK)
        if not row:
            self._blocks.append(np.empty((TEXTS_IN_BLOCK, MINIMA), np.uint8))
        self._blocks[block][row] = minima
        self._recent |= dict.fromkeys(new_tags, self._number)
        self._number += 1
        if len(self._recent) > RECENT_TAGS:
            self._merge()

    def _equal(self, text: int, minima: NDArray[np.uint8]) -> int:
        """Return how many minima of an earlier text are equal to these."""
        block, row = divmod(text, TEXTS_IN_BLOCK)
        return int(np.count_nonzero(self._blocks[block][row] == minima))

    def _find(self, tags: NDArray[np.uint32]) -> tuple[set[int], list[int]]:
        """Return the texts under these tags, and the tags under which there is none."""
        earlier, new = set(), []
        places = np.searchsorted(self._tags, tags)
        for tag, place in zip(tags.tolist(), places.tolist(), strict=True):
            if place < len(self._tags) and self._tags[place] == tag:
                earlier.add(int(self._texts[place]))
            elif (text := self._recent.get(tag)) is not None:
                earlier.add(text)
            else:
                new.append(tag)
        return earlier, new

    def _merge(self) -> None:
        """Move the recent tags to the sorted arrays."""
        tags = np.fromiter(self._recent.keys(), np.uint32, len(self._recent))
        texts = np.fromiter(self._recent.values(), np.uint32, len(self._recent))
        order = np.argsort(tags)
        tags, texts = tags[order], texts[order]
        places = np.searchsorted(self._tags, tags)
        self._texts = np.insert(self._texts, places, texts)
        self._tags = np.insert(self._tags, places, tags)
        self._recent = {}


def _grouped(sketch: Sketch, group: int) -> NDArray[np.uint32]:
    tags = np.frombuffer(sketch.tags, np.uint32)
    return _tags(_mixed(tags + np.uint64(group))) if group else tags


def _shingles(text: str) -> Iterator[U64]:
    """Yield the hashes of all sequences of words, some at once; a short text is one sequence."""
    words = words_of(text)
    length = SHINGLE_WORDS * word_scale(words)
    hashes = np.fromiter((zlib.crc32(word.encode()) for word in words), np.uint64, len(words))
    hashes = _mixed(hashes + np.uint64(1))
    number = max(len(words) - length + 1, 1)
    for start in range(0, number, SHINGLES_AT_ONCE):
        end = min(start + SHINGLES_AT_ONCE, number)
        found = np.zeros(end - start, np.uint64)
        for offset in range(min(length, len(words))):
            found = found * np.uint64(0x9E3779B97F4A7C15) + hashes[start + offset : end + offset]
        yield _mixed(found)


@lru_cache(maxsize=1)
def _permutations() -> tuple[U64, U64]:
    """Return an odd factor and an offset for each minimum."""
    numbers = _mixed(np.arange(1, 2 * MINIMA + 1, dtype=np.uint64))
    return numbers[:MINIMA] | np.uint64(1), numbers[MINIMA:]


def _tags(hashes: U64) -> NDArray[np.uint32]:
    return (hashes >> np.uint64(32)).astype(np.uint32)


def _mixed(values: U64) -> U64:
    """Return 64 bits that each depend on all bits of a value (the finalizer of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
