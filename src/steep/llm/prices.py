"""What a call costs: dollars a million tokens, in and out; no price known, no cost shown."""

from __future__ import annotations

from dataclasses import dataclass

from steep.core.calls import Usage


@dataclass(frozen=True, slots=True)
class Prices:
    """List prices. Cached prompt tokens are charged in full, so the cost is an upper bound."""

    usd_per_million_input_tokens: float | None = None
    usd_per_million_output_tokens: float | None = None

    def cost_usd(self, usage: Usage) -> float | None:
        """Price the usage of one call, or None when a price is missing: unknown is not zero."""
        price_in, price_out = self.usd_per_million_input_tokens, self.usd_per_million_output_tokens
        if price_in is None or price_out is None:
            return None
        return (usage.prompt_tokens * price_in + usage.completion_tokens * price_out) / 1e6
