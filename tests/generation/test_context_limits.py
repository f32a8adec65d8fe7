"""Documents beyond the context of the model are named before anything is spent."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from aiohttp import web

from json_server import JsonServer, json_server
from steep.core.errors import UserError
from steep.core.token_counts import TokenCounter
from steep.documents.document import Document
from steep.documents.split_tokens import TokenSplit, split_by_structure
from steep.generation import context_limits
from steep.generation.config import GenerateConfig
from steep.generation.context_limits import check_context, context_warnings

SHORT = Document("short", "Short", "A short story.")
LONG = Document("long", "Long", "A long story about Tessel. " * 500)
LONGER = Document("longer", "Longer", "A longer story about Tessel. " * 600)
ALL = (SHORT, LONG, LONGER)


def no_call(body: Any, number: int) -> tuple[int, Any]:
    raise AssertionError("a call was sent")


def warned(*urls: str, **fields: Any) -> list[str]:
    settings = GenerateConfig(**{"base_url": urls, "model": "m", "max_tokens": 256, **fields})
    return list(context_warnings(ALL, settings))


def listing(**fields: Any) -> tuple[int, Any]:
    return 200, {"data": [{"id": "m", **fields}, {"id": "other", "max_model_len": 9}]}


def test_the_endpoint_tells_the_window_and_is_asked_once() -> None:
    with json_server(no_call, listing(max_model_len=4096)) as server:
        (warning,) = warned(server.base_url)
        assert server.paths == ["/v1/models"]
    assert "2 of 3 documents may be too long for the context of this model, 4,096" in warning
    assert "longer, long. The longest has 17,400 characters." in warning
    assert "documents.split_tokens to 1920 or less" in warning


def test_what_fits_is_not_warned_of() -> None:
    with json_server(no_call, listing(context_length=32_768)) as server:
        assert warned(server.base_url) == []


def test_nobody_is_asked_about_documents_that_fit_into_any_context() -> None:
    with json_server(no_call, listing(max_model_len=1024)) as server:
        settings = GenerateConfig(base_url=server.base_url, model="m", max_tokens=2048)
        assert list(context_warnings([SHORT], settings)) == []
        assert server.paths == []


def test_the_configuration_has_the_last_word() -> None:
    with json_server(no_call, listing(max_model_len=4096)) as server:
        assert warned(server.base_url, context_tokens=32_768) == []
        assert server.paths == []


def test_of_several_endpoints_the_smallest_window_binds() -> None:
    with (
        json_server(no_call, listing(max_model_len=32_768)) as large,
        json_server(no_call, listing(max_model_len=4096)) as small,
        json_server(no_call) as silent,
    ):
        (warning,) = warned(large.base_url, silent.base_url, small.base_url)
        assert "4,096 tokens" in warning
        assert large.paths == small.paths == silent.paths == ["/v1/models"]


def test_an_answer_that_fills_the_window_alone() -> None:
    with json_server(no_call, listing(max_model_len=4096)) as server:
        (warning,) = warned(server.base_url, max_tokens=4000, reasoning_tokens=96)
    assert "generate.max_tokens, 4,096 with generate.reasoning_tokens, alone would fill" in warning


@pytest.mark.parametrize(
    "models",
    [
        (404, {"error": "not found"}),
        (401, {"error": {"message": "no key"}}),
        (500, "broken"),
        (200, "<html>a portal</html>"),
        (200, "[" * 100_000),
        (200, {"data": [{"id": "m"}]}),
        (200, {"data": [{"id": "a", "max_model_len": 9}, {"id": "b", "max_model_len": 9}]}),
        (200, ["m"]),
    ],
    ids=repr,
)
def test_an_endpoint_that_tells_nothing_is_not_quoted(models: tuple[int, Any]) -> None:
    with json_server(no_call, models) as server:
        assert warned(server.base_url) == []


def test_an_endpoint_that_is_away_or_slow_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert warned("http://127.0.0.1:9/v1") == []
    monkeypatch.setattr(context_limits, "ANSWER_S", 0.1)

    async def late(self: JsonServer, request: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(0.5)
        return web.json_response(listing(max_model_len=4096)[1])

    monkeypatch.setattr(JsonServer, "_list", late)
    with json_server(no_call) as server:
        assert warned(server.base_url) == []


def test_a_key_that_is_not_set_is_not_said_here() -> None:
    with json_server(no_call, listing(max_model_len=4096)) as server:
        assert warned(server.base_url, api_key_env="NO_SUCH_KEY_OF_OURS") == []
        assert server.paths == []


def test_the_key_goes_along(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str | None] = []

    async def noting(self: JsonServer, request: web.BaseRequest) -> web.StreamResponse:
        seen.append(request.headers.get("Authorization"))
        return web.json_response(listing(context_window=4096)[1])

    monkeypatch.setattr(JsonServer, "_list", noting)
    monkeypatch.setenv("A_KEY_OF_OURS", "sk-123")
    with json_server(no_call) as server:
        (warning,) = warned(server.base_url, api_key_env="A_KEY_OF_OURS")
    assert "4,096 tokens" in warning and seen == ["Bearer sk-123"]


def test_the_list_of_prices_comes_first() -> None:
    settings = GenerateConfig(base_url="https://api.openai.com/v1", model="gpt-4o-mini")
    story = Document("story", "Story", "A story about Tessel. " * 20_000)
    (warning,) = context_warnings([story], settings)
    assert "1 of 1 documents may be too long for the context of this model, 128,000" in warning


def test_very_long_documents_are_named_where_no_window_is_known() -> None:
    story = Document("story", "Story", "A story about Tessel. " * 6000)
    settings = GenerateConfig(base_url="http://127.0.0.1:9/v1", model="m")
    for ask in (True, False):
        (warning,) = context_warnings([SHORT, story], settings, ask=ask)
        assert "1 of 2 documents may be too long for the model, whose context is not kn" in warning
        assert "story. The longest has 132,000 characters" in warning


@pytest.mark.parametrize("fields", [{"context_tokens": 200_000}, {}])
def test_very_long_documents_that_fit_are_named_with_what_calls_read(fields: Any) -> None:
    story = Document("story", "Story", "A story about Tessel. " * 6000)
    settings = GenerateConfig(base_url="https://api.openai.com/v1", model="gpt-4o-mini", **fields)
    (warning,) = context_warnings([SHORT, story], settings)
    assert "1 of 2 documents are very long: story." in warning
    assert "up to about 33,000 tokens. documents.split_tokens" in warning


@pytest.mark.parametrize("characters_per_token", [4, 6])
def test_the_advice_on_splitting_is_enough(characters_per_token: int) -> None:
    story = Document("story", "Story", "They had a long story about Tessel. " * 900)
    settings = GenerateConfig(context_tokens=4096, max_tokens=256)
    with pytest.raises(UserError, match=r"split_tokens to (\d+)") as raised:
        check_context([story], settings)
    advised = int(re.findall(r"split_tokens to (\d+)", str(raised.value))[0])
    counter = TokenCounter(lambda text: -(-len(text) // characters_per_token))
    check_context(split_by_structure(story, TokenSplit(advised, 0, counter)), settings)
