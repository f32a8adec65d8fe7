"""Subsets of a set by their number, so that the list of all of them never exists."""

from __future__ import annotations

import math
from bisect import bisect_right


def combination(n: int, size: int, rank: int) -> tuple[int, ...]:
    """Return the `rank`-th (lexicographic, from 0) of the `size`-subsets of range(n), ascending.

    Raises:
        IndexError: There is no such subset.
    """
    subsets = math.comb(n, size)
    if not 0 <= rank < subsets:
        raise IndexError(f"rank {rank} is outside the {subsets} subsets")
    # Counted from the last subset, with members counted down from n - 1, a rank is the sum of
    # comb(member, place) over the places; so each member is found by bisection.
    left = subsets - 1 - rank
    chosen: list[int] = []
    for place in range(size, 0, -1):
        member = left if place == 1 else _largest(place, left, n)
        left -= math.comb(member, place)
        chosen.append(n - 1 - member)
    return tuple(chosen)


def low_members_first(n: int, size: int, rank: int) -> tuple[int, ...]:
    """Return the `rank`-th of the `size`-subsets of range(n) in order of their largest member.

    Subsets with the same largest member are in order of the next one (colexicographic order), so
    all subsets of range(m) come before any that has a member m or above.

    Raises:
        IndexError: There is no such subset.
    """
    mirrored = combination(n, size, math.comb(n, size) - 1 - rank)
    return tuple(n - 1 - member for member in reversed(mirrored))


def _largest(place: int, rank: int, below: int) -> int:
    """Return the largest number under `below` with at most `rank` subsets of `place` members."""
    return bisect_right(range(below), rank, key=lambda number: math.comb(number, place)) - 1
