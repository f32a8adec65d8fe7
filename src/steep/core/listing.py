"""Lists and numbers in a sentence."""

from __future__ import annotations

from collections.abc import Sequence


def plural(number: int, noun: str, several: str | None = None) -> str:
    """Return a number with its noun: `1 call`, `1,234 calls`, `2 batches`."""
    return f"{number:,} {noun if number == 1 else several or noun + 's'}"


def some_of(names: Sequence[str], shown: int) -> str:
    """Return the first names, and how many more there are: `a, b and 3 more`."""
    more = f" and {len(names) - shown:,} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
