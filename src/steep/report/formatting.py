"""How numbers are said: percentages, points, money, time; what is unknown stays unknown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

UNKNOWN = "unknown"
SIZES = {name: f"a {name} model" for name in ("small", "large")}  # of imported texts: no names
MINUS = "\N{MINUS SIGN}"


def count(value: float) -> str:
    """A whole number with thousands separators."""
    return f"{value:,.0f}".replace("-", MINUS)


def percent(fraction: float | None, decimals: int = 1) -> str:
    """A fraction as a percentage."""
    return UNKNOWN if fraction is None else f"{100 * fraction:.{decimals}f}%"


def points(fraction: float | None, decimals: int = 1, sign: bool = True) -> str:
    """A difference of fractions in percentage points, without the word."""
    if fraction is None:
        return UNKNOWN
    value = round(100 * fraction, decimals) + 0.0
    return f"{value:{'+' if sign and value else ''}.{decimals}f}".replace("-", MINUS)


def interval(
    low: float | None, high: float | None, *, signed: bool = False, decimals: int = 1
) -> str:
    """An interval of fractions, in percent or points: `[48.3, 75.0]`."""
    if low is None or high is None:
        return "no interval"
    return f"[{points(low, decimals, sign=signed)}, {points(high, decimals, sign=signed)}]"


def rounded_interval(low: float | None, high: float | None, *, signed: bool = False) -> str:
    """The same in whole points, for pictures."""
    return interval(low, high, signed=signed, decimals=0)


def decimal(value: float, decimals: int, *, signed: bool = False) -> str:
    """A number in its own unit."""
    rounded = round(value, decimals) + 0.0
    return f"{rounded:{'+' if signed and rounded else ''},.{decimals}f}".replace("-", MINUS)


def bounds(low: float | None, high: float | None, decimals: int, *, signed: bool = False) -> str:
    """An interval in its own unit; a bound that nothing tells is open."""
    low_text, high_text = (
        "open" if end is None else decimal(end, decimals, signed=signed) for end in (low, high)
    )
    return f"[{low_text}, {high_text}]"


def reasons(counts: Mapping[str, int], none: str = "none") -> str:
    """`empty (3), cut off (1)`."""
    return ", ".join(f"{reason} ({count(number)})" for reason, number in counts.items()) or none


def p_value(value: float | None) -> str:
    """A p-value; very small ones are not spelled out."""
    if value is None:
        return UNKNOWN
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def usd(cost_usd: float | None, *, own_machine: bool) -> str:
    """A cost; what nobody knows is unknown, never zero."""
    if cost_usd is None:
        return UNKNOWN
    decimals = 2 if cost_usd == 0 or cost_usd >= 0.01 else 6
    text = f"${cost_usd:,.{decimals}f}"
    return f"{text} (own machine)" if own_machine else text


def duration(seconds: float | None) -> str:
    """A wall time in the two units that matter."""
    if seconds is None:
        return UNKNOWN
    if round(seconds) < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest_s = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest_s:02d} s"


def plural(value: int, noun: str, several: str | None = None) -> str:
    """`1 document`, `6 documents`, `2 stories`."""
    return f"{count(value)} {noun if value == 1 else several or noun + 's'}"


def listing(items: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def model_names(names: Sequence[str]) -> str:
    """The models that wrote some texts: `the model 'gpt-4.1'`, or `a large model`."""
    return listing([SIZES.get(name, f"the model '{name}'") for name in names])


def shorten(text: str, characters: int) -> str:
    """Cut a label to fit, with an ellipsis."""
    return text if len(text) <= characters else text[: characters - 1].rstrip() + "…"
