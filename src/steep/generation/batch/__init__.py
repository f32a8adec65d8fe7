"""Generation through a provider's batch API: half the price, answers within a day."""
