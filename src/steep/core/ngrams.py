"""Hashes of word n-grams, the same on every machine: sets of them are compared with NumPy."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Hashes: TypeAlias = NDArray[np.uint64]

MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no bit is lost
KEPT_WORDS = 1 << 18


class WordHasher:
    """Hashes words to 64 bits; those of the most recent `KEPT_WORDS` different words are kept."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def hashes(self, words: Sequence[str]) -> Hashes:
        """Return the hash of each word, in order."""
        known = self._known
        if len(known) > KEPT_WORDS:
            known.clear()
        for word in words:
            if word not in known:
                digest = hashlib.blake2b(word.encode(errors="surrogatepass"), digest_size=8)
                known[word] = int.from_bytes(digest.digest(), "little")
        return np.fromiter((known[word] for word in words), np.uint64, len(words))


def ngrams(words: Hashes, n: int) -> Hashes:
    """Return a hash for each run of `n` consecutive words: `len(words) - n + 1`, or none."""
    number = max(0, len(words) - n + 1)
    found = words[:number].copy()
    for place in range(1, n if number else 1):
        found *= MULTIPLIER
        found += words[place : place + number]
    return found
