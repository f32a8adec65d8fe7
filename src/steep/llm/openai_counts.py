"""The tokens of a call and the context of a model, as servers report them.

Limits and costs are computed from these counts, so what cannot be true is not repaired: without
whole numbers for prompt and answer, without a prompt at all, with a billion tokens or with no token
for a text that is there, the usage is unknown. A part of the prompt that was cached is at most the
whole prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from steep.core.calls import Usage

MOST_TOKENS = 10**9  # of one call; no context is a thousandth as long


def read_usage(value: Any, *, with_text: bool) -> Usage | None:
    """Read the usage in the JSON of a reply; None when the server does not count, or not truly.

    A reply `with_text` of the model has taken tokens for it.
    """
    usage = value.get("usage") if isinstance(value, dict) else None
    if not isinstance(usage, dict):
        return None
    prompt = count(usage.get("prompt_tokens", usage.get("input_tokens")))
    completion = count(usage.get("completion_tokens", usage.get("output_tokens")))
    if prompt is None or completion is None:
        return None
    cached = _cached(usage)
    if "prompt_tokens" not in usage:  # Anthropic counts what was cached apart
        prompt += cached + (count(usage.get("cache_creation_input_tokens")) or 0)
    completion += _reasoning_left_out(usage, prompt, completion)
    if not 0 < prompt <= MOST_TOKENS or completion > MOST_TOKENS:
        return None
    if with_text and completion == 0:
        return None
    return Usage(prompt, min(cached, prompt), completion, min(_reasoning(usage), completion))


def read_input_usage(value: Any) -> Usage | None:
    """Read the tokens that an embedder or reranker has read; None when the server does not count.

    Cohere counts in `meta`, others in `usage`, some of them as a total only.
    """
    if not isinstance(value, Mapping):
        return None
    meta = value.get("meta")
    billed = [meta.get("tokens"), meta.get("billed_units")] if isinstance(meta, Mapping) else []
    for place in (value.get("usage"), *billed):
        if isinstance(place, Mapping):
            tokens = next(filter(None, map(count, map(place.get, _READ))), None)
            if tokens is not None and tokens <= MOST_TOKENS:
                return Usage(tokens, 0, 0)
    return None


def reasoning_tokens(value: Any) -> int:
    """Return the tokens that a thought took, as far as the server says."""
    usage = value.get("usage") if isinstance(value, dict) else None
    return _reasoning(usage) if isinstance(usage, dict) else 0


def count(value: Any) -> int | None:
    """Read a count; 12.0 is one, and -1, 1.5, true and "12" are none."""
    if type(value) is int:  # nearly all
        return value if value >= 0 else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return None
    return value


def read_context_window(value: Any, model: str) -> int | None:
    """Return the context window of a model in tokens; None where `GET /models` does not report it.

    OpenAI's own format has no such field, and servers have added one each: vLLM and SGLang
    `max_model_len`, OpenRouter and Together `context_length`, Groq `context_window`, Mistral
    `max_context_length`, LM Studio `loaded_context_length` beside it, Novita `context_size`,
    Anthropic `max_input_tokens`, llama.cpp `meta.n_ctx`. Where several are given the smallest one
    binds. What a model was trained for (`meta.n_ctx_train`) is not read: its server may have been
    started with less.

    Args:
        value: The JSON of `GET /models`, in any shape.
        model: The name that the endpoint knows. A list of one model is about that one.
    """
    entries = list(_entries(value))
    entry = next((each for each in entries if _is_named(each, model)), None)
    if entry is None and len(entries) == 1:
        entry = entries[0]
    if entry is None:
        return None
    places = [entry, *(entry.get(name) for name in _INSIDE)]
    windows = [
        count(place.get(name))
        for place in places
        if isinstance(place, Mapping)
        for name in _WINDOWS
    ]
    return min(filter(None, windows), default=None)


_READ = ("prompt_tokens", "input_tokens", "total_tokens")
_DETAILS = ("prompt_tokens_details", "input_tokens_details")
_CACHED = ("cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens")
_WINDOWS = (
    "max_model_len", "context_length", "context_window", "max_context_length",
    "loaded_context_length", "context_size", "max_input_tokens", "n_ctx",
)  # fmt: skip
_INSIDE = ("top_provider", "meta", "limits")  # objects of an entry that hold such fields
_NAMES = ("id", "name", "model")


def _cached(usage: Mapping[str, Any]) -> int:
    for place in (*map(usage.get, _DETAILS), usage):
        if isinstance(place, dict):
            for name in _CACHED:
                if name in place and (cached := count(place[name])):
                    return cached
    return 0


def _reasoning(usage: Mapping[str, Any]) -> int:
    details = usage.get("completion_tokens_details") or usage.get("output_tokens_details")
    places = (details, usage)  # SGLang counts them beside the others
    found = [each.get("reasoning_tokens") for each in places if isinstance(each, dict)]
    return next(filter(None, map(count, found)), 0)


def _reasoning_left_out(usage: Mapping[str, Any], prompt: int, completion: int) -> int:
    """Return the tokens of a thought that a server counts beside the answer instead of in it."""
    reasoning = _reasoning(usage)
    if not reasoning:
        return 0
    apart = count(usage.get("total_tokens")) == prompt + completion + reasoning
    return reasoning if apart or reasoning > completion else 0


def _entries(value: Any) -> Iterator[Mapping[str, Any]]:
    found = value.get("data", value.get("models")) if isinstance(value, Mapping) else value
    if isinstance(found, list):
        yield from (each for each in found if isinstance(each, Mapping))


def _is_named(entry: Mapping[str, Any], model: str) -> bool:
    aliases = entry.get("aliases")
    names = [*map(entry.get, _NAMES), *(aliases if isinstance(aliases, list) else ())]
    return model in names
