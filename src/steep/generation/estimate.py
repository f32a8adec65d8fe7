"""How many tokens a call will take: an upper bound that a budget can rely on, and expectations.

**Bounds.** A byte-level tokenizer makes at most one token of a byte, and a chat template adds a few
tokens a message; so the bytes of a prompt (and of the schema that its answer must meet, which some
endpoints write into it) plus `MESSAGE_TOKENS` a message are more than it can take, whatever the
tokenizer. An answer takes `max_tokens` at most. Budgets reserve this; prose takes a quarter of it.

An answer whose tokens the endpoint did not count, or not believably, takes its bound: `recounted`
gives it a count of our own, so that texts still add up to a goal, and marks it by a prompt of zero
tokens; its cost is unknown.

**Expectations** come from what the ledger has measured of the same model (`generation.measured`),
else from what is usual: four characters of English prose a token, and answers of a third of the
length that they may have.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from steep.core.calls import Call, Completion, Usage
from steep.core.ranges import Case as Case
from steep.core.ranges import Range as Range
from steep.generation.budget import Reservation
from steep.llm.prices import Prices

MESSAGE_TOKENS = 16  # of the chat template, around each message
USUAL_CHARACTERS_A_TOKEN = 4.0
MOST_CHARACTERS_A_TOKEN = 6.0  # of usual prose, hardly any tokenizer puts more into one
BYTES_A_TOKEN = 4.0  # of an answer that we count ourselves
MOST_COUNTED = 2**40  # tokens of one call; whoever counts more is not believed
SPREAD = 0.1  # added to the extremes of what was measured: the rest may lie beyond them
# Hosted providers cache a prefix from so many tokens on, in steps; a server of one's own, any.
LEAST_CACHED_TOKENS, CACHE_STEP_TOKENS = 1024, 128
USUAL_SHARE = (0.1, 0.35, 1.0)  # of `max_tokens` that an answer takes: low, expected, high

NOTHING = Range(0.0, 0.0, 0.0)


class PromptSize(NamedTuple):
    """Means over some prompts: characters, those of the shared beginning, and the bound."""

    characters: float
    prefix_characters: float
    bound_tokens: float


def prompt_tokens(size: PromptSize, tokens_a_character: Range | None) -> Range:
    """Tokens of a prompt: by what was measured, else by what is usual, and its upper bound."""
    if tokens_a_character is None:
        low = size.characters / MOST_CHARACTERS_A_TOKEN
        expected = size.characters / USUAL_CHARACTERS_A_TOKEN
        return Range(low, expected, max(expected, size.bound_tokens))
    low = size.characters * tokens_a_character.low * (1 - SPREAD)
    expected = size.characters * tokens_a_character.expected
    high = size.characters * tokens_a_character.high * (1 + SPREAD)
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


def reservation(call: Call, prices: Prices) -> Reservation:
    """What a call may take at most: its prompt uncached, its answer as long as it may be."""
    prompt_tokens = prompt_bound(call)
    tokens = prompt_tokens + call.sampling.max_tokens
    price_in, price_out = prices.usd_per_million_input_tokens, prices.usd_per_million_output_tokens
    if price_in is None or price_out is None:
        return Reservation(tokens, None)
    cost_usd = (prompt_tokens * price_in + call.sampling.max_tokens * price_out) / 1e6
    return Reservation(tokens, cost_usd)


def recounted(completion: Completion) -> Completion:
    """Return the completion, with a count of our own where the endpoint's cannot be true."""
    usage = completion.usage
    prompt, cached, answer = usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens
    possible = 0 <= cached <= prompt < MOST_COUNTED and 0 <= answer < MOST_COUNTED
    if completion.error is not None or (possible and prompt and (answer or not completion.text)):
        return completion
    own = math.ceil(len(completion.text.encode()) / BYTES_A_TOKEN)
    return replace(completion, usage=Usage(0, 0, own), cost_usd=None)


def is_counted(completion: Completion) -> bool:
    """Return whether the tokens of a completion are the endpoint's count; see `recounted`."""
    return completion.error is not None or completion.usage.prompt_tokens > 0


def prompt_bound(call: Call) -> int:
    """More tokens than any byte-level tokenizer makes of the prompt of a call."""
    messages = sum(MESSAGE_TOKENS + sum(map(_bytes, message.parts)) for message in call.messages)
    schema = call.sampling.json_schema
    return messages if schema is None else messages + _bytes(schema)


@lru_cache(maxsize=64)
def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
