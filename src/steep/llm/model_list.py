"""The context window of a model, as the `GET /models` of its endpoint reports it.

OpenAI's own format has no such field, and servers have added one each: vLLM and SGLang
`max_model_len`, OpenRouter and Together `context_length`, Groq `context_window`, Mistral
`max_context_length`, LM Studio `loaded_context_length` beside it, Novita `context_size`, Anthropic
`max_input_tokens`, llama.cpp `meta.n_ctx`. Where several are given the smallest one binds. What a
model was trained for (`meta.n_ctx_train`) is not read: its server may have been started with less.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from steep.llm.openai_usage import count

_FIELDS = (
    "max_model_len", "context_length", "context_window", "max_context_length",
    "loaded_context_length", "context_size", "max_input_tokens", "n_ctx",
)  # fmt: skip
_INSIDE = ("top_provider", "meta", "limits")  # objects of an entry that hold such fields
_NAMES = ("id", "name", "model")


def read_context_window(value: Any, model: str) -> int | None:
    """Return the context window of a model in tokens; None where the list does not tell it.

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
        count(place.get(name)) for place in places if isinstance(place, Mapping) for name in _FIELDS
    ]
    return min(filter(None, windows), default=None)


def _entries(value: Any) -> Iterator[Mapping[str, Any]]:
    found = value.get("data", value.get("models")) if isinstance(value, Mapping) else value
    if isinstance(found, list):
        yield from (each for each in found if isinstance(each, Mapping))


def _is_named(entry: Mapping[str, Any], model: str) -> bool:
    aliases = entry.get("aliases")
    names = [*map(entry.get, _NAMES), *(aliases if isinstance(aliases, list) else ())]
    return model in names
