from __future__ import annotations

import math
import socket
import time
from typing import Any

import numpy as np
import pytest
from endpoint_server import Scripted, serving
from small_corpus import Letters

from calling import calling
from steep.core.errors import UserError
from steep.ledger.caller import Caller
from steep.ledger.config import EndpointConfig
from steep.ledger.endpoint_worker import RetryPolicy
from steep.ledger.requests import costs
from steep.retrieval.config import RetrievalConfig
from steep.retrieval.embed import EndpointEmbedder, open_embedder
from steep.retrieval.rerank import Candidates, EndpointReranker

KEY = "sk-very-secret"
TEXTS = [f"salt and eels {'eel ' * n}" for n in range(150)]


SECTION = "open_book.embedder_server"
FAST = RetryPolicy(max_attempts=3, pause_s=0.001, total_s=30.0)


def endpoint(server: Scripted, **options: Any) -> Caller:
    return calling(server.base_url, policy=FAST, section=SECTION, **options)


def embed(server: Scripted, texts: list[str] = TEXTS, **options: Any) -> Any:
    return EndpointEmbedder(endpoint(server, **options), "m").embed(texts)


def test_vectors_come_in_batches_and_in_the_order_of_texts() -> None:
    with serving(Scripted()) as server:
        caller = endpoint(server, concurrency=2)
        embedder = EndpointEmbedder(caller, "letters-large")
        assert np.array_equal(embedder.embed(TEXTS), Letters().embed(TEXTS))
    assert sorted(len(body["input"]) for body in server.bodies) == [22, 64, 64]
    assert {body["model"] for body in server.bodies} == {"letters-large"}
    assert server.most_open == 2
    (cost,) = costs(caller.ledger)
    assert cost.usage.prompt_tokens == sum(len(text.split()) for text in TEXTS)
    assert (cost.purpose, cost.requests) == ("embed", 3)
    assert embedder.name == f"letters-large at {server.base_url}"


def test_the_settings_open_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBED_KEY", KEY)
    with serving(Scripted()) as server:
        caller = endpoint(server, api_key_env="EMBED_KEY")
        server_config = EndpointConfig(base_url=server.base_url, model="m")
        settings = RetrievalConfig(embedder="endpoint", embedder_server=server_config)
        assert open_embedder(settings, caller=caller).embed(["ab"]).shape == (1, 26)
    assert server.keys == {f"Bearer {KEY}"}


@pytest.mark.parametrize(
    ("status", "body"),
    [(429, "slow down"), (503, "busy"), (500, ""), (200, "<html>"), (408, "{}")],
)
def test_what_can_pass_is_tried_again(status: int, body: str) -> None:
    accidents: list[tuple[int, dict[str, str], str]] = [(status, {}, body)] * 2
    with serving(Scripted(accidents)) as server:
        assert len(embed(server, TEXTS[:3])) == 3
    assert len(server.bodies) == 3


def test_the_server_says_how_long_to_wait() -> None:
    with serving(Scripted([(429, {"Retry-After": "0.2"}, "")])) as server:
        start = time.monotonic()
        embed(server, ["a"])
    assert time.monotonic() - start > 0.2


def test_after_so_many_attempts_it_is_given_up() -> None:
    accidents: list[tuple[int, dict[str, str], str]] = [(500, {}, "busy")] * 3
    with (
        serving(Scripted(accidents)) as server,
        pytest.raises(UserError, match="HTTP 500: busy"),
    ):
        embed(server, ["a"])
    assert len(server.bodies) == 3


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 302])
def test_what_cannot_pass_stops_at_once_and_never_shows_the_key(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMBED_KEY", KEY)
    quoting = f'{{"error": {{"message": "no such thing for {KEY}"}}}}'
    with (
        serving(Scripted([(status, {"Location": "http://example.org"}, quoting)])) as server,
        pytest.raises(UserError) as raised,
    ):
        embed(server, ["a"], api_key_env="EMBED_KEY")
    assert f"HTTP {status}" in str(raised.value)
    assert server.base_url in str(raised.value)
    assert KEY not in str(raised.value)
    assert len(server.bodies) == 1


@pytest.mark.parametrize(
    "reply",
    [
        {"data": [{"index": 0, "embedding": [1.0]}]},
        {"data": [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": "AAAA"}]},
        {"data": [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1.0, 2.0]}]},
        {"data": None},
        {"object": "chat.completion"},
        [1, 2],
    ],
)
def test_what_are_no_vectors_is_an_error(reply: Any) -> None:
    with (
        serving(Scripted(reply=reply)) as server,
        pytest.raises(UserError, match="'m' is a model for embeddings"),
    ):
        embed(server, ["a", "b"])


def test_a_silent_server_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        policy = RetryPolicy(max_attempts=2, pause_s=0.001, total_s=0.5)
        silent = calling(address, policy=policy, timeout_s=0.05)
        with pytest.raises(UserError, match=r"no answer within 0.05 s"):
            EndpointEmbedder(silent, "m").embed(["a"])


def test_nobody_there_is_said_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    with pytest.raises(UserError, match=r"correct open_book\.embedder_server\.base_url"):
        EndpointEmbedder(calling(address, section=SECTION), "m").embed(["a"])


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://host/v1", "http://host/v1#x"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UserError, match="not the address of an endpoint"):
        calling(url)


def test_a_password_in_the_address_is_refused_and_not_shown() -> None:
    with pytest.raises(UserError, match="password") as raised:
        calling(f"http://me:{KEY}@host/v1")
    assert KEY not in str(raised.value)


def test_a_key_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EMBED_KEY", raising=False)
    with pytest.raises(UserError, match="EMBED_KEY is not set"):
        calling("http://host/v1", api_key_env="EMBED_KEY")


CANDIDATES = [Candidates("q1", ("long text", "short")), Candidates("q2", ("a", "bb", "ccc"))]


def test_scores_of_a_reranker_come_in_the_order_of_texts() -> None:
    with serving(Scripted()) as server:
        scores = EndpointReranker(endpoint(server), "judge").score(CANDIDATES)
    assert scores == [[-0.009, -0.005], [-0.001, -0.002, -0.003]]
    asked = sorted(server.bodies, key=lambda body: str(body["query"]))
    assert asked[1] == {
        "model": "judge",
        "query": "q2",
        "documents": ["a", "bb", "ccc"],
        "top_n": 3,
    }


@pytest.mark.parametrize(
    "reply",
    [
        {"results": [{"index": 0, "relevance_score": 1.0}]},
        {"results": [{"index": n, "relevance_score": math.nan} for n in range(3)]},
        {"results": [{"index": n} for n in range(3)]},
        {"error": "unknown model"},
    ],
)
def test_what_are_no_scores_is_an_error(reply: Any) -> None:
    with (
        serving(Scripted(reply=reply)) as server,
        pytest.raises(UserError, match="'judge' is a reranker"),
    ):
        EndpointReranker(endpoint(server), "judge").score(CANDIDATES)
