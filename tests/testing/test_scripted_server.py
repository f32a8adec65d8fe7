from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from steep.testing.script import Behaviour, Script, request_hash
from steep.testing.scripted_server import ScriptedServer

DOCUMENT = (
    "Edda Varnholt built the Quillon Ferry. A rope of Hask and Daughters pulls it. It is slow."
)


def chat(prompt: str, **more: Any) -> dict[str, Any]:
    return {"model": "any", "messages": [{"role": "user", "content": prompt}], **more}


def post(base_url: str, body: dict[str, Any], timeout_s: float = 5) -> tuple[int, Any]:
    status, content, _ = post_for_headers(base_url, body, timeout_s)
    return status, content


def post_for_headers(
    base_url: str, body: dict[str, Any], timeout_s: float = 5
) -> tuple[int, Any, Any]:
    request = urllib.request.Request(
        f"{base_url}/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout_s) as response:
            return response.status, response.read(), response.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), error.headers


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


def test_answers_have_the_form_that_a_prompt_asks_for() -> None:
    def asked(task: str) -> str:
        return text_of(server, chat(f"{DOCUMENT}\n### Task\n{task}"))

    with serve() as server:
        questions = asked("Use this form:\n\nQuestion: ...\nAnswer: ...")
        facts = asked('Write each on a line that begins with "- ".')
        verdicts = asked("Write lines like `1: yes`.\n\n1. Question: a\n\n2. Question: b")
        led_in = asked('Begin with the line "Short text:".')
    assert questions.count("\nAnswer: ") == 3
    assert sorted(facts.splitlines()) == sorted(f"- {each}." for each in DOCUMENT[:-1].split(". "))
    assert [line[:3] for line in verdicts.splitlines()] == ["1: ", "2: "]
    assert led_in.startswith("Short text:\n")


@pytest.mark.parametrize(
    ("behaviour", "status", "code"),
    [
        ({"rate_limited": 1.0}, 429, "rate_limit_exceeded"),
        ({"server_error": 1.0}, 500, "server_error"),
        ({"overloaded": 1.0}, 503, "overloaded"),
        ({"busy_above": 0}, 429, "rate_limit_exceeded"),
        ({"credit_calls": 0}, 429, "insufficient_quota"),
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
    with serve(reset=1.0) as server, pytest.raises(ConnectionResetError):
        post(server.base_url, chat("x"))


def test_a_hanging_request_ends_when_its_client_gives_up() -> None:
    with serve(hang=1.0) as server:
        with pytest.raises(TimeoutError):
            post(server.base_url, chat("x"), timeout_s=0.1)
        began = time.monotonic()
        while server.in_progress:
            assert time.monotonic() - began < 5
            time.sleep(0.01)
        assert server.accidents == {"hang": 1}


def test_a_hanging_request_does_not_hold_the_server_up() -> None:
    with ThreadPoolExecutor(1) as pool:
        with serve(hang=1.0) as server:
            hanging = pool.submit(post, server.base_url, chat("x"), timeout_s=60)
            while not server.requests:
                time.sleep(0.001)
            began = time.monotonic()
        assert time.monotonic() - began < 5
        assert isinstance(hanging.exception(), OSError)


@pytest.mark.parametrize("kind", ["rate_limited", "overloaded"])
def test_how_long_to_wait_is_told_in_seconds_or_as_the_test_wishes(kind: str) -> None:
    told: dict[str, Any] = {kind: 1.0, "retry_after_s": 1.5}
    with serve(**told) as server:
        assert post_for_headers(server.base_url, chat("x"))[2]["Retry-After"] == "1.5"
    always: dict[str, Any] = {kind: 1.0}
    with serve(**always, retry_after="soon") as server:
        assert post_for_headers(server.base_url, chat("x"))[2]["Retry-After"] == "soon"


def test_the_clock_of_the_server_can_be_wrong() -> None:
    with serve() as right, serve(clock_ahead_s=86_400) as wrong:
        times = [
            parsedate_to_datetime(post_for_headers(server.base_url, chat("x"))[2]["Date"])
            for server in (right, wrong)
        ]
    assert 86_395 <= (times[1] - times[0]).total_seconds() <= 86_405


def test_a_busy_server_turns_down_what_is_too_much_at_once() -> None:
    with serve(busy_above=2, delay_s=0.5) as server, ThreadPoolExecutor(5) as pool:
        together = threading.Barrier(5)

        def send(number: int) -> int:
            together.wait()
            return post(server.base_url, chat(f"{DOCUMENT} {number}"))[0]

        statuses = sorted(pool.map(send, range(5)))
        assert statuses == [200, 200, 429, 429, 429]
        assert server.accidents == {"busy": 3}
        assert server.in_progress == 0 < server.most_in_progress
        assert post(server.base_url, chat(DOCUMENT))[0] == 200


def test_credit_ends_and_can_be_topped_up() -> None:
    bodies = [chat(f"{DOCUMENT} {number}") for number in range(4)]
    with serve(credit_calls=2) as server:
        assert [post(server.base_url, body)[0] for body in bodies] == [200, 200, 429, 429]
        server.script = Script()
        assert post(server.base_url, bodies[3])[0] == 200


def usage_of(server: ScriptedServer, prompt: str) -> tuple[int, int]:
    usage = json.loads(post(server.base_url, chat(prompt))[1])["usage"]
    return usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"]


def test_a_prefix_that_was_read_is_not_read_again() -> None:
    one, other = "One long document. " * 20, "Another document, as long. " * 20
    with serve(cache_prefixes=1) as server:
        assert usage_of(server, one + "- Pell") == (97, 0)
        assert usage_of(server, one + "- Hask") == (97, 95)
        assert usage_of(server, one + "- Hask") == (97, 96)
        assert usage_of(server, other) == (135, 0)
        assert usage_of(server, one + "- Pell") == (97, 0)  # there was room for one
        assert server.prompt_tokens == 4 * 97 + 135
        assert server.processed_tokens == server.prompt_tokens - 95 - 96
    with serve(cache_prefixes=2) as server:
        for prompt in (one + "- Pell", other, one + "- Hask", other + "- Hask"):
            last = usage_of(server, prompt)
        assert last == (137, 135)
    with serve(cache_prefixes=0) as server:
        assert [usage_of(server, one)[1] for _ in range(2)] == [0, 0]


def test_calls_sent_at_once_find_no_prefix() -> None:
    prompts = ["One long document. " * 20 + name for name in ("Pell", "Hask", "Edda")]
    with serve(delay_s=0.5) as server, ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda prompt: usage_of(server, prompt)[1], prompts))
        assert together == [0, 0, 0]
        assert usage_of(server, prompts[0])[1] > 90


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
