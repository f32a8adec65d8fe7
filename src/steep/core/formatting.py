"""Numbers, money, time and lists as text: one form each, for the terminal and for the report."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence

from steep.core.ranges import Range

UNKNOWN = "unknown"
MINUS = "\N{MINUS SIGN}"
SMALL_USD = 0.0001  # below it, four decimals say little
GIB = 2**30
UNITS = {
    "s": 1, "min": 60, "h": 3600,
    "B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "MiB": 2**20, "GiB": GIB,
}  # fmt: skip
_NUMBER = re.compile(
    r"(?:at least |about |[(<~])*"
    rf"(?P<sign>[-+{MINUS}]?)\$?(?P<digits>\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?)"
    rf"(?: (?P<unit>{'|'.join(UNITS)})\b(?: (?P<more>\d+) (?P<smaller>min|s)\b)?)?"
)


def count(value: float) -> str:
    """Return a whole number with thousands separators; halves are rounded up."""
    return f"{math.floor(value + 0.5):,}".replace("-", MINUS)


def decimal(value: float | None, decimals: int, *, signed: bool = False) -> str:
    """Return a number in its own unit."""
    if value is None:
        return UNKNOWN
    rounded = round(value, decimals) + 0.0
    return f"{rounded:{'+' if signed and rounded else ''},.{decimals}f}".replace("-", MINUS)


def percent(fraction: float | None, decimals: int = 1) -> str:
    """Return a fraction as a percentage."""
    return UNKNOWN if fraction is None else f"{100 * fraction:.{decimals}f}%"


def points(fraction: float | None, decimals: int = 1, sign: bool = True) -> str:
    """Return a difference of fractions in percentage points, without the unit."""
    return UNKNOWN if fraction is None else decimal(100 * fraction, decimals, signed=sign)


def interval(
    low: float | None, high: float | None, *, signed: bool = False, decimals: int = 1
) -> str:
    """Return an interval of fractions, in percent or points: `[48.3, 75.0]`."""
    if low is None or high is None:
        return "no interval"
    return f"[{points(low, decimals, sign=signed)}, {points(high, decimals, sign=signed)}]"


def bounds(low: float | None, high: float | None, decimals: int, *, signed: bool = False) -> str:
    """Return an interval in its own unit; an unknown bound is `open`."""
    low_text, high_text = (
        "open" if end is None else decimal(end, decimals, signed=signed) for end in (low, high)
    )
    return f"[{low_text}, {high_text}]"


def p_value(value: float | None) -> str:
    """Return a p-value; very small ones are not spelled out."""
    if value is None:
        return UNKNOWN
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def dollars(usd: float) -> str:
    """Return an amount: cents from a dollar on, four decimals below, six of tiny ones."""
    decimals = 2 if usd >= 1 or usd == 0 else 4 if usd >= SMALL_USD else 6
    return f"${usd:,.{decimals}f}"


def leading_number(text: str) -> float | None:
    """Return the number that a text begins with, in any form of this module; None without one.

    Times are in seconds and sizes in bytes, so that values with different units compare.
    """
    if (found := _NUMBER.match(text)) is None:
        return None
    value = float(found["digits"].replace(",", "")) * UNITS.get(found["unit"], 1)
    if found["more"]:
        value += int(found["more"]) * UNITS[found["smaller"]]
    return -value if found["sign"] in ("-", MINUS) else value


def reasoned(tokens: int) -> str:
    """Return how many tokens of answers were reasoning, after their number; empty if none."""
    return f" (of these, {tokens:,} tokens of reasoning)" if tokens else ""


def cost_of(known_usd: float, unpriced: int) -> str:
    """Return the cost of calls, some of which may have an unknown cost.

    Args:
        known_usd: The sum of the known costs, in dollars.
        unpriced: Number of calls whose cost is unknown.
    """
    if not unpriced:
        return dollars(known_usd)
    calls = "1 call is" if unpriced == 1 else f"{unpriced:,} calls is"
    unknown = f"the price of {calls} unknown"
    return f"at least {dollars(known_usd)}; {unknown}" if known_usd else f"unknown: {unknown}"


def duration(seconds: float | None) -> str:
    """Return a time in its two largest units: `0.4 s`, `48 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds is None:
        return UNKNOWN
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if round(seconds, 1) < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def gib(size: float) -> str:
    """Return a number of bytes in GiB, or in MiB where GiB would have no digits."""
    return f"{size / GIB:,.1f} GiB" if size >= GIB else f"{size / 2**20:,.1f} MiB"


def file_size(size: float) -> str:
    """Return a number of bytes in decimal units: `5.0 kB`."""
    for unit, bytes_per_unit in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= bytes_per_unit:
            return f"{size / bytes_per_unit:,.1f} {unit}"
    return f"{size} B"


def span(each: Range, shown: Callable[[float], str] = count) -> str:
    """Return what is expected, with the range if it is not known exactly: `10 (8 to 15)`."""
    if each.low == each.high:
        return shown(each.expected)
    return f"{shown(each.expected)} ({shown(each.low)} to {shown(each.high)})"


def plural(number: int, noun: str, several: str | None = None) -> str:
    """Return a number with its noun: `1 call`, `1,234 calls`, `2 batches`."""
    ending = "es" if noun.endswith(("ch", "sh", "s")) else "s"
    return f"{count(number)} {noun if number == 1 else several or noun + ending}"


def listing(items: Sequence[str]) -> str:
    """Return a list in a sentence: `a`, `a and b`, `a, b and c`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def some_of(names: Sequence[str], shown: int) -> str:
    """Return the first names, and how many more there are: `a, b and 3 more`."""
    more = f" and {len(names) - shown:,} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def reasons(counts: Mapping[str, int], none: str = "none") -> str:
    """Return counts by reason: `empty (3), cut off (1)`."""
    return ", ".join(f"{reason} ({count(number)})" for reason, number in counts.items()) or none


def quoted(text: str, characters: int) -> str:
    """Return a text between quotation marks, cut to fit, with an ellipsis."""
    return f"'{shorten(text, characters)}'"


def shorten(text: str, characters: int) -> str:
    """Return a label cut to fit, with an ellipsis."""
    return text if len(text) <= characters else text[: characters - 1].rstrip() + "…"
