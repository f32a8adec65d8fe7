from __future__ import annotations

import http.client
import json
import subprocess
import sys
import urllib.error
import urllib.request
from typing import Any

import pytest

from steep.testing.script import Behaviour, Script, request_hash
from steep.testing.scripted_server import ScriptedServer

DOCUMENT = (
    "Edda Varnholt built the Quillon Ferry. A rope of Hask and Daughters pulls it. It is slow."
)


def chat(prompt: str, **more: Any) -> dict[str, Any]:
    return {"model": "any", "messages": [{"role": "user", "content": prompt}], **more}


def post(base_url: str, body: dict[str, Any]) -> tuple[int, Any]:
    request = urllib.request.Request(
        f"{base_url}/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=5) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def text_of(server: ScriptedServer, body: dict[str, Any]) -> str:
    status, content = post(server.base_url, body)
    assert status == 200
    text = json.loads(content)["choices"][0]["message"]["content"]
    assert isinstance(text, str)
    return text


def serve(seed: int = 0, **behaviour: Any) -> ScriptedServer:
    return ScriptedServer(Script(seed, Behaviour(**behaviour)))


def test_the_same_seed_and_request_give_the_same_text() -> None:
    bodies = [chat(f"{DOCUMENT}\n- Edda Varnholt\n- Hask and Daughters", seed=n) for n in range(5)]
    with serve(1) as one, serve(1) as two, serve(2) as other:
        first = [text_of(one, body) for body in bodies]
        assert [text_of(two, body) for body in reversed(bodies)] == first[::-1]
        assert [text_of(other, body) for body in bodies] != first
    assert len(set(first)) > 1
    assert all("Edda Varnholt" in text and "Hask and Daughters" in text for text in first)


def test_entities_occur_in_the_document() -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}
    with serve() as server:
        structured = text_of(server, chat(DOCUMENT, response_format=schema))
        asked = text_of(server, chat(f"{DOCUMENT}\nWrite JSON with summary and entities."))
    for text in (structured, asked):
        value = json.loads(text)
        assert {"Edda Varnholt", "Quillon Ferry"} <= set(value["entities"])
        assert value["summary"].startswith("Edda Varnholt built")
    assert all(name in DOCUMENT for name in json.loads(structured)["entities"])


@pytest.mark.parametrize(
    ("behaviour", "status", "code"),
    [
        ({"rate_limited": 1.0}, 429, "rate_limit_exceeded"),
        ({"server_error": 1.0}, 500, "server_error"),
        ({"api_key": "right"}, 401, "invalid_api_key"),
        ({"model": "known"}, 404, "model_not_found"),
        ({"out_of_quota": True}, 429, "insufficient_quota"),
        ({"context_tokens": 5}, 400, "context_length_exceeded"),
    ],
)
def test_errors_are_told_as_openai_does(behaviour: dict[str, Any], status: int, code: str) -> None:
    with serve(**behaviour) as server:
        found, content = post(server.base_url, chat(DOCUMENT))
        assert server.requests.total() == 1
        assert not server.completed
    assert (found, json.loads(content)["error"]["code"]) == (status, code)


def test_broken_replies() -> None:
    with serve(html=1.0) as server:
        assert post(server.base_url, chat("x"))[1].startswith(b"<html>")
    with serve(invalid_json=1.0) as server, pytest.raises(ValueError):
        json.loads(post(server.base_url, chat("x"))[1])
    with serve(cut_off=1.0) as server, pytest.raises(http.client.IncompleteRead):
        post(server.base_url, chat("x"))
    for behaviour in ({"disconnected": 1.0}, {"dead": True}):
        with serve(**behaviour) as server, pytest.raises(http.client.RemoteDisconnected):
            post(server.base_url, chat("x"))


def test_an_accident_passes_when_the_request_is_repeated() -> None:
    with serve(server_error=0.5) as server:
        body = chat(DOCUMENT)
        statuses = [post(server.base_url, body)[0] for _ in range(12)]
        assert server.requests[request_hash(body)] == 12
        assert server.completed[request_hash(body)] == statuses.count(200)
    assert set(statuses) == {200, 500}


def test_an_ending_belongs_to_the_request() -> None:
    bodies = [chat(f"{DOCUMENT} {n}") for n in range(12)]
    with serve(truncated=0.3, refusing=0.3, empty=0.3) as server:
        once = [json.loads(post(server.base_url, body)[1])["choices"][0] for body in bodies]
        again = [json.loads(post(server.base_url, body)[1])["choices"][0] for body in bodies]
    assert once == again
    assert any(choice["finish_reason"] == "length" for choice in once)
    assert any("can't assist" in choice["message"]["content"] for choice in once)
    assert any(choice["message"]["content"] == "" for choice in once)


def test_answers_end_at_max_tokens() -> None:
    with serve() as server:
        choice = json.loads(post(server.base_url, chat(DOCUMENT, max_tokens=4))[1])["choices"][0]
    assert choice["finish_reason"] == "length"
    assert len(choice["message"]["content"].split()) <= 4


def test_rates_over_one_are_refused() -> None:
    with pytest.raises(ValueError, match="add up"):
        Behaviour(server_error=0.6, html=0.6)


def test_it_serves_from_the_shell() -> None:
    command = [sys.executable, "-m", "steep.testing.scripted_server", "--server-error", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert post(process.stdout.readline().strip(), chat("x"))[0] == 500
        process.terminate()


def test_it_lists_its_model() -> None:
    with serve(model="known") as server:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{server.base_url}/models", timeout=5) as response:
            assert json.load(response)["data"][0]["id"] == "known"
