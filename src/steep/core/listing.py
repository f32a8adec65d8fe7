"""Lists in a sentence."""

from __future__ import annotations

from collections.abc import Sequence


def some_of(names: Sequence[str], shown: int) -> str:
    """Return the first names, and how many more there are: `a, b and 3 more`."""
    more = f" and {len(names) - shown:,} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
