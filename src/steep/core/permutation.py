"""A seeded permutation of range(n) that is computed by index: no list, no state, O(1) memory.

A four-round Feistel network over the smallest even number of bits that holds n, with cycle walking
back into range. "The first k" of a million triplets is the same set on every machine, and nothing
but k entries is ever computed. Shuffled order of training data uses the same function.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Permutation:
    """The permutation of `range(size)` that `seed` selects; `permutation[i]` is its i-th entry."""

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
        half_bits = max(1, ((self.size - 1).bit_length() + 1) // 2)
        value = self._encrypt(index, half_bits)
        while value >= self.size:  # cycle walking: at most four steps on average
            value = self._encrypt(value, half_bits)
        return value

    def _encrypt(self, value: int, half_bits: int) -> int:
        mask = (1 << half_bits) - 1
        left, right = value >> half_bits, value & mask
        for round_number in range(ROUNDS):
            left, right = right, left ^ (_mixed(self.seed, round_number, right) & mask)
        return left << half_bits | right


@lru_cache(maxsize=1 << 11)  # half an index has few values: each is mixed once a round
def _mixed(seed: int, round_number: int, half: int) -> int:
    key = f"{seed}:{round_number}:{half}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big")
