"""What one call is expected to take: tokens of its prompt and answer, and dollars.

Expectations come from what the ledger has measured of the same model (`usage_stats`), else from
what is usual: four characters of English prose per token, and answers of a third of the length that
they may have. Upper bounds, which limits rely on, are in `steep.ledger.budget`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from steep.core.calls import Call, Usage
from steep.core.ranges import Case, Range
from steep.generation.usage_stats import Measured
from steep.generation.work_queue import TURN_CALLS
from steep.ledger.budget import (
    MOST_CHARACTERS_PER_TOKEN,
    USUAL_CHARACTERS_PER_TOKEN,
    USUAL_SHARE,
)
from steep.llm.prices import Prices

CASES: tuple[Case, ...] = ("low", "expected", "high")
SPREAD = 0.1  # added to the extremes of what was measured: the rest may lie beyond them
# Hosted providers cache a prefix from so many tokens on, in steps; a server of one's own, any.
LEAST_CACHED_TOKENS, CACHE_STEP_TOKENS = 1024, 128
NONE = Range(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Amounts:
    """What some calls take; `cost_usd` is None where a price is unknown."""

    calls: Range = NONE
    prompt_tokens: Range = NONE
    cached_tokens: Range = NONE
    completion_tokens: Range = NONE
    cost_usd: Range | None = NONE

    def times(self, calls: Range) -> Amounts:
        """Return what so many calls take, of which each takes this, case by case."""
        return Amounts(
            calls,
            _product(self.prompt_tokens, calls),
            _product(self.cached_tokens, calls),
            _product(self.completion_tokens, calls),
            self.cost_usd and _product(self.cost_usd, calls),
        )

    def ordered(self) -> Amounts:
        """Return the same with low <= expected <= high: a limit leaves fewer of expensive calls."""
        return Amounts.total([self])

    @classmethod
    def total(cls, several: Sequence[Amounts]) -> Amounts:
        """Return the ordered sum."""
        costs = [each.cost_usd for each in several]
        return cls(
            _sum([each.calls for each in several]),
            _sum([each.prompt_tokens for each in several]),
            _sum([each.cached_tokens for each in several]),
            _sum([each.completion_tokens for each in several]),
            None if None in costs else _sum([cost for cost in costs if cost is not None]),
        )


def _sum(ranges: Sequence[Range]) -> Range:
    low, expected, high = (sum(map(attrgetter(case), ranges), 0.0) for case in CASES)
    return Range.around(low, expected, high)


def _product(one: Range, other: Range) -> Range:
    return Range(one.low * other.low, one.expected * other.expected, one.high * other.high)


class PromptSize(NamedTuple):
    """Characters of a prompt, those of the shared beginning, and the bound on its tokens."""

    characters: float
    prefix_characters: float
    bound_tokens: float


def of_one_call(
    call: Call,
    step: tuple[str, str],
    measured: Measured,
    prices: Prices,
    *,
    hosted_caches: bool,
) -> Amounts:
    """Return what a call like this one takes.

    Args:
        call: A call of typical size.
        step: Its recipe and step.
        measured: What is known of the model.
        prices: Those of the endpoint that reads the document.
        hosted_caches: Whether the beginning of its prompt is expected to be cached as hosted
            providers do, if no cache was measured.
    """
    characters = sum(len(part) for message in call.messages for part in message.parts)
    prefix = characters - len(call.messages[-1].parts[-1])
    size = PromptSize(characters, prefix, call.prompt_bound)
    prompt = prompt_tokens(size, measured.tokens_per_character)
    cached = _cached_tokens(size, prompt, measured.cached_share) if hosted_caches else NONE
    answer = answer_tokens(call.answer_bound, measured.answers.get(step))
    certain = {"low": cached.expected, "expected": cached.expected, "high": cached.low}
    costs = [
        prices.cost_usd(
            Usage(round(prompt[case]), round(min(certain[case], prompt[case])), round(answer[case]))
        )
        for case in CASES
    ]
    return Amounts(
        Range.exactly(1),
        prompt,
        Range(*(min(cached[case], prompt[case]) for case in CASES)),
        answer,
        Range(*(cost or 0.0 for cost in costs)) if prices.known else None,
    )


def _cached_tokens(size: PromptSize, prompt: Range, measured_share: float | None) -> Range:
    """Return the tokens that the endpoint has read before: but for the first call of a turn."""
    if measured_share is not None:
        return prompt.times(measured_share)
    share = size.prefix_characters / max(1.0, size.characters) * (1 - 1 / TURN_CALLS)
    return prompt.times(share).map(hosted_cache)


def prompt_tokens(size: PromptSize, tokens_per_character: Range | None) -> Range:
    """Return the tokens of a prompt: as measured, else as usual; its upper bound holds."""
    if tokens_per_character is None:
        low = size.characters / MOST_CHARACTERS_PER_TOKEN
        expected = size.characters / USUAL_CHARACTERS_PER_TOKEN
        return Range(low, expected, max(expected, size.bound_tokens))
    low = size.characters * tokens_per_character.low * (1 - SPREAD)
    expected = size.characters * tokens_per_character.expected
    high = size.characters * tokens_per_character.high * (1 + SPREAD)
    return Range(low, expected, max(expected, min(high, size.bound_tokens)))


def hosted_cache(prefix_tokens: float) -> float:
    """Return the tokens of a shared prefix that a hosted provider caches: none of a short one."""
    if prefix_tokens < LEAST_CACHED_TOKENS:
        return 0.0
    return prefix_tokens // CACHE_STEP_TOKENS * CACHE_STEP_TOKENS


def answer_tokens(max_tokens: int, measured: Range | None) -> Range:
    """Return the tokens of an answer: as measured, else a usual share of the most it may have."""
    low, expected, high = (share * max_tokens for share in USUAL_SHARE)
    if measured is not None:
        low, expected = min(measured.low, max_tokens), min(measured.expected, max_tokens)
    return Range(low, expected, high)
