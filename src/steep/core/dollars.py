"""What calls have cost, in words; an unknown cost is never shown as zero."""

from __future__ import annotations

SMALL_USD = 0.01  # below it, cents say nothing


def dollars(usd: float) -> str:
    """Return an amount: cents, or six digits of a small one."""
    decimals = 2 if usd >= 1 or usd == 0 else 4 if usd >= SMALL_USD else 6
    return f"${usd:,.{decimals}f}"


def cost_of(known_usd: float, unpriced: int) -> str:
    """Return the cost of calls, of which some may be unknown.

    Args:
        known_usd: The sum of all that is known, in dollars.
        unpriced: How many calls have a cost that is not known.
    """
    if not unpriced:
        return dollars(known_usd)
    calls = "1 call is" if unpriced == 1 else f"{unpriced:,} calls is"
    unknown = f"the price of {calls} unknown"
    return f"at least {dollars(known_usd)}; {unknown}" if known_usd else f"unknown: {unknown}"
