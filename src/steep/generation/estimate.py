"""How many tokens calls will take, as far as that can be expected.

Expectations come from what the ledger has measured of the same model (`generation.measured`), else
from what is usual: four characters of English prose a token, and answers of a third of the length
that they may have. Upper bounds, which limits rely on, are in `steep.ledger.budget`.
"""

from __future__ import annotations

from typing import NamedTuple

from steep.core.ranges import Case as Case
from steep.core.ranges import Range as Range
from steep.ledger.budget import (
    MOST_CHARACTERS_PER_TOKEN,
    USUAL_CHARACTERS_PER_TOKEN,
    USUAL_SHARE,
)

SPREAD = 0.1  # added to the extremes of what was measured: the rest may lie beyond them
# Hosted providers cache a prefix from so many tokens on, in steps; a server of one's own, any.
LEAST_CACHED_TOKENS, CACHE_STEP_TOKENS = 1024, 128

NOTHING = Range(0.0, 0.0, 0.0)


class PromptSize(NamedTuple):
    """Means over some prompts: characters, those of the shared beginning, and the bound."""

    characters: float
    prefix_characters: float
    bound_tokens: float


def prompt_tokens(size: PromptSize, tokens_per_character: Range | None) -> Range:
    """Tokens of a prompt: by what was measured, else by what is usual, and its upper bound."""
    if tokens_per_character is None:
        low = size.characters / MOST_CHARACTERS_PER_TOKEN
        expected = size.characters / USUAL_CHARACTERS_PER_TOKEN
        return Range(low, expected, max(expected, size.bound_tokens))
    low = size.characters * tokens_per_character.low * (1 - SPREAD)
    expected = size.characters * tokens_per_character.expected
    high = size.characters * tokens_per_character.high * (1 + SPREAD)
    return Range(low, expected, max(expected, min(high, size.bound_tokens)))


def hosted_cache(prefix_tokens: float) -> float:
    """Tokens of a shared prefix that a hosted provider caches: none of a short one."""
    if prefix_tokens < LEAST_CACHED_TOKENS:
        return 0.0
    return prefix_tokens // CACHE_STEP_TOKENS * CACHE_STEP_TOKENS


def answer_tokens(max_tokens: int, measured: Range | None) -> Range:
    """Tokens of an answer: by what was measured, else a usual share of the most it may have."""
    low, expected, high = (share * max_tokens for share in USUAL_SHARE)
    if measured is not None:
        low, expected = min(measured.low, max_tokens), min(measured.expected, max_tokens)
    return Range(low, expected, high)
