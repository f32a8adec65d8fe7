"""Prices in dollars per million tokens; an unknown price is never zero.

List prices come from the table inside `genai-prices`, without network access; prices change, so the
configuration overrides them field by field. A self-hosted model has no list price; to declare it
free, set its prices to 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from steep.core.calls import Usage

if TYPE_CHECKING:
    from genai_prices.types import TieredPrices

CONFIGURED, UNKNOWN = "configured", "unknown"
PRICE_FIELDS = (
    "usd_per_million_input_tokens",
    "usd_per_million_cached_tokens",
    "usd_per_million_output_tokens",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Prices in dollars per million tokens; None is unknown."""

    usd_per_million_input_tokens: float | None = None
    usd_per_million_cached_tokens: float | None = None  # found in a cache; None: as other input
    usd_per_million_output_tokens: float | None = None
    source: str = UNKNOWN  # where the prices come from, for display

    @property
    def known(self) -> bool:
        """Whether a call can be priced."""
        prices = (self.usd_per_million_input_tokens, self.usd_per_million_output_tokens)
        return None not in prices

    def cost_usd(self, usage: Usage) -> float | None:
        """Return the cost of a usage; None if a price is missing."""
        price_in, price_out = self.usd_per_million_input_tokens, self.usd_per_million_output_tokens
        if price_in is None or price_out is None:
            return None
        cached = self.usd_per_million_cached_tokens
        price_cached = price_in if cached is None else cached
        cached_tokens = min(usage.cached_tokens, usage.prompt_tokens)
        uncached_tokens = usage.prompt_tokens - cached_tokens
        dollars = uncached_tokens * price_in + cached_tokens * price_cached
        return (dollars + usage.completion_tokens * price_out) / 1e6

    def scaled(self, factor: float) -> Prices:
        """Return all prices times a factor, such as that of a batch API."""
        scaled: dict[str, Any] = {name: price * factor for name, price in _given(self).items()}
        return replace(self, **scaled)


def find_prices(model: str, base_url: str, overrides: Prices) -> Prices:
    """Return the configured prices, completed by list prices of this model at this host.

    Args:
        model: The name that the endpoint knows.
        base_url: Its address; the provider is known by its host.
        overrides: The configured prices; None leaves the list price.
    """
    if overrides.known:
        return replace(overrides, source=CONFIGURED)
    listed, own = _listed(model, base_url), _given(overrides)
    sources = [CONFIGURED] * bool(own) + [listed.source] * listed.known
    return replace(listed, source=" and ".join(sources) or UNKNOWN, **own)


def _given(prices: Prices) -> dict[str, Any]:
    return {name: price for name in PRICE_FIELDS if (price := getattr(prices, name)) is not None}


def _listed(model: str, base_url: str) -> Prices:
    import importlib.metadata

    from genai_prices import Usage as Used
    from genai_prices import calc_price

    try:
        found = calc_price(Used(), model_ref=model, provider_api_url=base_url).model_price
    except LookupError:
        return Prices()
    return Prices(
        usd_per_million_input_tokens=_usd(found.input_mtok),
        usd_per_million_cached_tokens=_usd(found.cache_read_mtok),
        usd_per_million_output_tokens=_usd(found.output_mtok),
        source=f"genai-prices {importlib.metadata.version('genai-prices')}",
    )


def _usd(price: Decimal | TieredPrices | None) -> float | None:
    """Return a listed price; where very long prompts cost more, that of the others."""
    if price is None:
        return None
    return float(price if isinstance(price, Decimal) else price.base)
