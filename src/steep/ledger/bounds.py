"""What a call may take at most, and what it took where its endpoint does not say: for limits.

A byte-level tokenizer makes at most one token of a byte, and a chat template adds a few tokens a
message; so the bytes of a prompt (and of the schema that its answer must meet, which some
endpoints write into it) plus `MESSAGE_TOKENS` a message are more than it can take, whatever the
tokenizer. An answer takes `max_tokens` at most. Budgets reserve this; prose takes a quarter of it.

An answer whose tokens the endpoint did not count, or not believably, takes its bound: `recounted`
gives it a count of our own, so that texts still add up to a goal, and marks it by a prompt of zero
tokens; its cost is unknown.
"""

from __future__ import annotations

import math
from dataclasses import replace

from steep.core.calls import Completion, Payable, Usage
from steep.ledger.budget import Reservation
from steep.llm.client import UNUSABLE_REASON
from steep.llm.prices import Prices

USUAL_CHARACTERS_PER_TOKEN = 4.0
MOST_CHARACTERS_PER_TOKEN = 6.0  # of usual prose, hardly any tokenizer puts more into one
USUAL_SHARE = (0.1, 0.35, 1.0)  # of `max_tokens` that an answer takes: low, expected, high
REFUSED_REASONS = frozenset({"content_filter", "refusal"})
BYTES_PER_TOKEN = 4.0  # of an answer that we count ourselves
MOST_COUNTED = 2**40  # tokens of one call; whoever counts more is not believed


def reservation(call: Payable, prices: Prices) -> Reservation:
    """What a call may take at most: its prompt uncached, its answer as long as it may be."""
    prompt_tokens, answer_tokens = call.prompt_bound, call.answer_bound
    tokens = prompt_tokens + answer_tokens
    price_in, price_out = prices.usd_per_million_input_tokens, prices.usd_per_million_output_tokens
    if price_in is None or price_out is None:
        return Reservation(tokens, None)
    cost_usd = (prompt_tokens * price_in + answer_tokens * price_out) / 1e6
    return Reservation(tokens, cost_usd)


def most_of(call: Payable, completion: Completion, prices: Prices) -> Reservation:
    """What an answer that its endpoint did not count may have taken: see `is_counted`.

    A refusal without any text, as by a content filter, has read the prompt and written nothing.
    """
    most = reservation(call, prices)
    if completion.finish_reason not in REFUSED_REASONS or completion.text:
        return most
    cost_usd = prices.cost_usd(Usage(call.prompt_bound, 0, 0))
    return Reservation(call.prompt_bound, cost_usd)


def recounted(completion: Completion) -> Completion:
    """Return the completion, with a count of our own where the endpoint's cannot be true."""
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
