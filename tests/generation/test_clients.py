from __future__ import annotations

import asyncio
import importlib.util
import logging
from pathlib import Path
from typing import Any

import pytest

from steep.core.errors import UserError
from steep.documents.document import Document
from steep.generation import clients
from steep.generation.config import EMBEDDED_MODEL, GenerateConfig
from steep.llm.local.client import TransformersClient
from steep.llm.openai import OpenAIClient

SIX = [Document(f"d{number}", "t", "x") for number in range(6)]
TWO = ("http://a.example/v1", "http://b.example/v1")


def settings(**fields: Any) -> GenerateConfig:
    return GenerateConfig(**fields)


def hide(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, package=None: None if name in packages else real(name, package),
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"base_url": ()}, "No endpoint is configured"),
        ({"base_url": ("http://a/v1", "http://a/v1/")}, "named twice"),
        ({"engine": "openai-batch", "base_url": TWO}, "The batch API takes one endpoint"),
        ({"engine": "embedded", "model": "other"}, r"(?s)embedded model only.*generate\.engine"),
        (
            {"engine": "ray", "ray_engine": "embedded", "model": "other"},
            r"(?s)embedded model only.*generate\.ray_engine",
        ),
        ({"engine": "transformers", "model": "no such"}, r"(?s)no such model.*generate\.model"),
        ({"engine": "transformers", "model": "nowhere"}, r"(?s)no such model.*owner/name"),
    ],
)
def test_contradictions_are_refused(
    fields: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=words):
        clients.check(settings(**fields))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"base_url": TWO},
        {"engine": "openai-batch"},
        {"engine": "embedded"},
        {"engine": "transformers"},
        {"engine": "transformers", "model": "owner/name"},
    ],
)
def test_what_makes_sense_passes(fields: dict[str, Any]) -> None:
    clients.check(settings(**fields))


@pytest.mark.parametrize(
    ("fields", "hidden", "command"),
    [
        ({"engine": "embedded"}, "transformers", r"steep\[train\]"),
        ({"engine": "transformers"}, "torch", r"steep\[train\]"),
        ({"engine": "vllm"}, "vllm", r"steep\[vllm\]"),
        ({"engine": "ray"}, "ray", r"steep\[ray\]"),
    ],
)
def test_a_missing_library_names_the_command_that_installs_it(
    fields: dict[str, Any], hidden: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, hidden)
    with pytest.raises(UserError, match=rf"pip install '{command}'"):
        clients.check(settings(**fields))


def test_vllm_is_refused_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: object())
    with pytest.raises(UserError, match="vLLM needs a GPU"):
        clients.check(settings(engine="vllm"))
    with pytest.raises(UserError, match=r"(?s)vLLM needs a GPU.*ray_gpus_per_actor"):
        clients.check(settings(engine="ray", ray_engine="vllm"))


def test_a_model_directory_starts_at_the_project(tiny_directory: Path) -> None:
    named = settings(engine="transformers", model=tiny_directory.name)
    clients.check(named, root=tiny_directory.parent)
    with pytest.raises(UserError, match="no such model"):
        clients.check(named, root=tiny_directory)
    empty = settings(engine="transformers", model=str(tiny_directory.parent))
    with pytest.raises(UserError, match="no model in this directory"):
        clients.check(empty)


def test_each_endpoint_is_a_client_and_is_named(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="steep")
    made = clients.make_clients(settings(base_url=TWO, concurrency=5), SIX)
    assert [client.endpoint for client in made] == list(TWO)
    assert all(isinstance(client, OpenAIClient) for client in made)
    assert {(client.batch_size, client.concurrency) for client in made} == {(1, 5)}
    assert "http://a.example/v1 is sent 3 of 6 documents" in caplog.text
    caplog.clear()
    clients.make_clients(settings(base_url=TWO[0]), SIX)
    assert "http://a.example/v1 is sent 6 of 6 documents" in caplog.text


def test_a_model_in_this_process_sends_nothing_away(
    tiny_directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="steep")
    named = settings(engine="transformers", model=tiny_directory.name)
    (client,) = clients.make_clients(named, SIX, root=tiny_directory.parent)
    assert isinstance(client, TransformersClient)
    assert "nothing leaves the machine" in caplog.text
    asyncio.run(client.close())


def test_a_key_that_is_not_there_is_told_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    for engine in ("openai", "openai-batch"):
        configured = settings(engine=engine, api_key_env="NO_SUCH_KEY")
        with pytest.raises(UserError, match="NO_SUCH_KEY is not set"):
            if engine == "openai":
                clients.make_clients(configured, SIX)
            else:
                clients.make_batch_client(configured, "http://a.example/v1")


def test_batches_are_priced_by_their_factor_whatever_engine_collects_them() -> None:
    prices = {"usd_per_million_input_tokens": 2.0, "usd_per_million_output_tokens": 8.0}
    for engine in ("openai-batch", "openai", "embedded"):
        configured = settings(engine=engine, model=EMBEDDED_MODEL, **prices)
        client = clients.make_batch_client(configured, "http://a.example/v1")
        assert client.prices.usd_per_million_input_tokens == 1.0
        assert client.prices.usd_per_million_output_tokens == 4.0
