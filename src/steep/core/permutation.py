"""A seeded permutation of range(n) that is computed by index: no list, no state, O(1) memory.

A four-round Feistel network over the smallest even number of bits that holds n, with cycle walking
back into range. "The first k" of a million triplets is the same set on every machine, and nothing
but k entries is ever computed. Shuffled order of training data uses the same function, and needs
all entries: `as_array` computes them with tables of the round function, a million in 0.1 s (a loop
over the entries takes 5 s).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Permutation:
    """A permutation of `range(size)` selected by `seed`; `permutation[i]` is its i-th entry."""

    size: int
    seed: int

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> int:
        """Return entry `index`.

        Raises:
            IndexError: `index` is not in `range(size)`.
        """
        if not 0 <= index < self.size:
            raise IndexError(f"index {index} is outside a permutation of {self.size}")
        half_bits = self._half_bits()
        value = self._encrypt(index, half_bits)
        while value >= self.size:  # cycle walking: at most four steps on average
            value = self._encrypt(value, half_bits)
        return value

    def as_array(self) -> NDArray[np.int64]:
        """Yield all entries in order."""
        import numpy as np

        half_bits = self._half_bits()
        tables = self._tables(half_bits)
        values = _encrypt_all(np.arange(self.size, dtype=np.int64), tables, half_bits)
        outside = np.flatnonzero(values >= self.size)
        while len(outside):
            values[outside] = _encrypt_all(values[outside], tables, half_bits)
            outside = outside[values[outside] >= self.size]
        return values

    def _half_bits(self) -> int:
        return max(1, ((self.size - 1).bit_length() + 1) // 2)

    def _tables(self, half_bits: int) -> list[NDArray[np.int64]]:
        """Return the round function as a table per round: 4 x 1,024 values for a million."""
        import numpy as np

        mask, halves = (1 << half_bits) - 1, range(1 << half_bits)
        return [
            np.array([_hash(self.seed, number, half) & mask for half in halves], np.int64)
            for number in range(ROUNDS)
        ]

    def _encrypt(self, value: int, half_bits: int) -> int:
        mask = (1 << half_bits) - 1
        left, right = value >> half_bits, value & mask
        for round_number in range(ROUNDS):
            left, right = right, left ^ (_mixed(self.seed, round_number, right) & mask)
        return left << half_bits | right


def _encrypt_all(
    values: NDArray[np.int64], tables: list[NDArray[np.int64]], half_bits: int
) -> NDArray[np.int64]:
    left, right = values >> half_bits, values & ((1 << half_bits) - 1)
    for table in tables:
        left, right = right, left ^ table[right]
    return left << half_bits | right


def _hash(seed: int, round_number: int, half: int) -> int:
    key = f"{seed}:{round_number}:{half}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big")


_mixed = lru_cache(maxsize=1 << 11)(
    _hash
)  # half an index has few values: each is mixed once a round
