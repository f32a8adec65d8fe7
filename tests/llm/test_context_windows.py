"""Context windows are read from lists of models as servers send them, and from nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from steep.llm.openai_counts import read_context_window


def listed(**fields: Any) -> dict[str, Any]:
    others = [{"id": "small", "context_length": 2048}, {"id": "smaller", "max_model_len": 1024}]
    return {"object": "list", "data": [*others, {"id": "m", "object": "model", **fields}]}


@pytest.mark.parametrize(
    ("fields", "window"),
    [
        ({"max_model_len": 8192}, 8192),  # vLLM, SGLang
        ({"max_model_len": None, "root": "/adapters/m"}, None),  # an adapter, in vLLM
        ({"context_length": 128_000, "top_provider": {"context_length": 64_000}}, 64_000),
        ({"context_length": 128_000, "top_provider": {"context_length": None}}, 128_000),
        ({"context_length": 128_000, "top_provider": None}, 128_000),
        ({"context_window": 131_072, "max_completion_tokens": 32_768}, 131_072),  # Groq
        ({"max_context_length": 32_768, "capabilities": {}}, 32_768),  # Mistral
        ({"max_context_length": 32_768, "loaded_context_length": 4096}, 4096),  # LM Studio
        ({"meta": {"n_ctx": 4096, "n_ctx_train": 131_072}}, 4096),  # llama.cpp
        ({"meta": {"n_ctx_train": 131_072}}, None),  # an older one: what it loaded is not known
        ({"limits": {"max_input_tokens": 16_000, "max_output_tokens": 4000}}, 16_000),
        ({"max_input_tokens": 200_000, "max_tokens": 64_000}, 200_000),  # Anthropic
        ({"context_length": 8192.0}, 8192),
        ({"context_length": 0}, None),
        ({"context_length": -1, "context_window": "8k", "meta": [1]}, None),
        ({}, None),
    ],
)
def test_the_window_of_a_model(fields: dict[str, Any], window: int | None) -> None:
    assert read_context_window(listed(**fields), "m") == window


def test_a_model_is_found_by_all_that_it_is_called() -> None:
    data = listed(aliases=["mine"], max_model_len=4096)
    assert read_context_window(data, "mine") == 4096
    assert read_context_window(data["data"], "m") == 4096, "a bare list, as Together sends it"
    assert read_context_window({"models": [{"name": "m", "n_ctx": 512}, {}]}, "m") == 512
    assert read_context_window(data, "another") is None


def test_a_server_of_one_model_is_asked_about_that_one() -> None:
    alone = {"data": [{"id": "/models/m.gguf", "meta": {"n_ctx": 4096}}]}
    assert read_context_window(alone, "whatever") == 4096


@pytest.mark.parametrize(
    "odd", [None, 7, "models", [], {}, {"data": None}, {"data": {"id": "m"}}, {"data": ["m", 3]}]
)
def test_odd_lists_tell_nothing(odd: Any) -> None:
    assert read_context_window(odd, "m") is None
