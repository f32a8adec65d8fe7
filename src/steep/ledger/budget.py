"""A hard limit on tokens and dollars: reserved before a call is sent, charged when it has ended.

What is spent and reserved together never exceeds the limit. The reservation is an upper bound for
any byte-level tokenizer: the bytes of the prompt (and of the JSON schema of its answer, which some
endpoints write into it), `MESSAGE_TOKENS` per message, and `max_tokens` of answer.

An answer whose tokens the endpoint did not count, or not plausibly, is charged at its bound:
`recounted` counts it by its bytes, so that texts still add up to a target, and marks it by a prompt
of zero tokens; its cost is unknown.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from steep.core.calls import Completion, Payable, Usage
from steep.llm.client import UNUSABLE_REASON
from steep.llm.prices import Prices

USUAL_CHARACTERS_PER_TOKEN = 4.0
MOST_CHARACTERS_PER_TOKEN = 6.0  # of usual prose, hardly any tokenizer puts more into one
USUAL_SHARE = (0.1, 0.35, 1.0)  # of `max_tokens` that an answer takes: low, expected, high
REFUSED_REASONS = frozenset({"content_filter", "refusal"})
BYTES_PER_TOKEN = 4.0  # of an answer that we count ourselves
MOST_COUNTED = 2**40  # tokens per call; a higher count is not plausible


class Reservation(NamedTuple):
    """Tokens and dollars that a call used, or can use at most; None is an unknown cost."""

    tokens: int
    cost_usd: float | None


NOTHING = Reservation(0, 0.0)


def total(reservations: Iterable[Reservation]) -> Reservation:
    """Return the sum; its cost is unknown if any is."""
    tokens, cost_usd = 0, 0.0
    unknown = False
    for each in reservations:
        tokens += each.tokens
        cost_usd += each.cost_usd or 0.0
        unknown = unknown or each.cost_usd is None
    return Reservation(tokens, None if unknown else cost_usd)


@dataclass(slots=True)
class Budget:
    """Limits on all that a project spends, in this run and before it; None is no limit."""

    max_tokens: int | None = None  # prompts and answers
    max_cost_usd: float | None = None
    spent_tokens: int = 0
    spent_usd: float = 0.0
    reserved_tokens: int = 0
    reserved_usd: float = 0.0

    def reserve(self, most: Reservation) -> bool:
        """Reserve the most that a call can use; return whether there was enough left.

        Raises:
            ValueError: There is a limit in dollars, and the call has no price.
        """
        if self.max_tokens is not None:
            held = self.spent_tokens + self.reserved_tokens
            if held + most.tokens > self.max_tokens:
                return False
        if self.max_cost_usd is not None:
            if most.cost_usd is None:
                raise ValueError("a limit in dollars needs a price")
            if self.spent_usd + self.reserved_usd + most.cost_usd > self.max_cost_usd:
                return False
        self.reserved_tokens += most.tokens
        self.reserved_usd += most.cost_usd or 0.0
        return True

    def spend(self, charge: Reservation) -> None:
        """Charge what a call used; what was reserved for it is released separately."""
        self.spent_tokens += charge.tokens
        self.spent_usd += charge.cost_usd or 0.0

    def release(self, reserved: Reservation) -> None:
        """Release what was reserved for a call that has ended."""
        self.reserved_tokens -= reserved.tokens
        self.reserved_usd -= reserved.cost_usd or 0.0


def reservation(call: Payable, prices: Prices) -> Reservation:
    """Return the most that a call can use: its prompt uncached, its answer of full length."""
    prompt_tokens, answer_tokens = call.prompt_bound, call.answer_bound
    tokens = prompt_tokens + answer_tokens
    price_in, price_out = prices.usd_per_million_input_tokens, prices.usd_per_million_output_tokens
    if price_in is None or price_out is None:
        return Reservation(tokens, None)
    cost_usd = (prompt_tokens * price_in + answer_tokens * price_out) / 1e6
    return Reservation(tokens, cost_usd)


def refusal_bound(call: Payable, prices: Prices) -> Reservation:
    """Return the most that a refusal without text can use: its prompt."""
    return Reservation(call.prompt_bound, prices.cost_usd(Usage(call.prompt_bound, 0, 0)))


def used(usage: Usage, cost_usd: float | None) -> Reservation:
    """Return the usage that the endpoint reported."""
    return Reservation(usage.prompt_tokens + usage.completion_tokens, cost_usd)


def charge_of(call: Payable, completion: Completion, prices: Prices) -> Reservation:
    """Return the usage of a call, or the most that it can have used if it is not counted.

    A refusal without any text, as by a content filter, has read the prompt and written nothing.
    """
    if is_counted(completion):
        return used(completion.usage, completion.cost_usd)
    if completion.finish_reason not in REFUSED_REASONS or completion.text:
        return reservation(call, prices)
    return refusal_bound(call, prices)


def recounted(completion: Completion) -> Completion:
    """Return the completion, with a count of our own where the endpoint's is not plausible."""
    usage = completion.usage
    prompt, cached, answer = usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens
    possible = 0 <= cached <= prompt < MOST_COUNTED and 0 <= answer < MOST_COUNTED
    if completion.error is not None or (possible and prompt and (answer or not completion.text)):
        return completion
    own = math.ceil(len(completion.text.encode()) / BYTES_PER_TOKEN)
    return replace(completion, usage=Usage(0, 0, own), cost_usd=None)


def is_counted(completion: Completion) -> bool:
    """Return whether the tokens of a completion are the endpoint's count; see `recounted`."""
    unanswered = completion.error is not None and completion.finish_reason != UNUSABLE_REASON
    return unanswered or completion.usage.prompt_tokens > 0
