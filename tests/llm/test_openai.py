from __future__ import annotations

import asyncio
import itertools
import json
import socket
import time
from collections.abc import Sequence
from typing import Any

import pytest

from steep.core.calls import Call, Completion, Message, Sampling
from steep.core.errors import UserError
from steep.ledger.endpoint_worker import EndpointWorker, RetryPolicy
from steep.llm.client import FatalError
from steep.llm.dialect import Dialect
from steep.llm.openai import OpenAIClient
from steep.llm.openai_wire import request_bytes
from steep.llm.prices import Prices
from steep.testing.script import Behaviour, Script, accident, request_hash
from steep.testing.scripted_server import ScriptedServer

KEY = "sk-very-secret"


def call(number: int = 0, text: str = "Tell of the Quillon Ferry.", **sampling: Any) -> Call:
    messages = (Message("system", ("Be brief.",)), Message("user", (text, f"\n- Pell {number}")))
    return Call("toy", "pair", "doc", ("Pell",), number, "m", messages, Sampling(**sampling))


def serve(seed: int = 0, **behaviour: Any) -> ScriptedServer:
    return ScriptedServer(Script(seed, Behaviour(**behaviour)))


def complete(url: str, calls: Sequence[Call], **options: Any) -> list[Completion]:
    """Complete the calls one after the other, as the scheduler does, but hardly waiting."""
    max_attempts = options.pop("max_attempts", 6)

    async def run() -> list[Completion]:
        client = OpenAIClient(url, **{"timeout_s": 5.0, **options})
        worker = EndpointWorker(
            client, RetryPolicy(max_attempts=max_attempts, total_s=2.0, pause_s=0.001)
        )
        try:
            return [await send(worker, each) for each in calls]
        finally:
            await client.close()

    return asyncio.run(run())


async def send(worker: EndpointWorker[Call], one: Call) -> Completion:
    outcome = await worker.send([one])
    assert outcome.completions is not None
    return outcome.completions[0]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_a_completion_says_what_was_answered_and_what_it_cost() -> None:
    prices = Prices(usd_per_million_input_tokens=1.0, usd_per_million_output_tokens=2.0)
    with serve() as server:
        done, next_one = complete(server.base_url, [call(), call(1)], prices=prices)
    assert done.error is None
    assert "Pell" in done.text
    assert (done.call_id, done.endpoint, done.attempts) == (call().id, server.base_url, 1)
    assert done.finish_reason == "stop"
    usage = done.usage
    assert usage.cached_tokens == 0 < next_one.usage.cached_tokens < usage.prompt_tokens
    assert done.cost_usd == pytest.approx((usage.prompt_tokens + 2 * usage.completion_tokens) / 1e6)
    assert 0 < done.latency_s < 5


def test_no_price_is_no_cost() -> None:
    with serve() as server:
        (done,) = complete(
            server.base_url, [call()], prices=Prices(usd_per_million_input_tokens=1.0)
        )
    assert done.cost_usd is None


def test_the_request_carries_the_sampling() -> None:
    schema = '{"type":"object"}'
    asked = call(
        temperature=0.5, top_p=0.9, max_tokens=7, frequency_penalty=0.3, json_schema=schema
    )
    body = json.loads(request_bytes(asked, Dialect()))
    assert body["messages"][1] == {"role": "user", "content": asked.messages[1].content}
    assert (body["temperature"], body["top_p"], body["max_tokens"]) == (0.5, 0.9, 7)
    assert body["frequency_penalty"] == 0.3
    assert "frequency_penalty" not in json.loads(request_bytes(call(), Dialect()))
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert 0 <= body["seed"] < 2**31
    assert body["seed"] == json.loads(request_bytes(asked, Dialect()))["seed"]
    assert body["seed"] != json.loads(request_bytes(call(1), Dialect()))["seed"]


@pytest.mark.parametrize(
    "accident",
    ["rate_limited", "server_error", "html", "invalid_json", "cut_off", "disconnected", "slow"],
)
def test_accidents_are_retried_and_leave_no_trace_in_the_text(accident: str) -> None:
    calls = [call(n) for n in range(8)]
    with serve() as calm:
        undisturbed = [done.text for done in complete(calm.base_url, calls)]
    # Half of all attempts meet with it: almost surely one of eight calls, never twenty in a row.
    trouble: dict[str, Any] = {accident: 0.5, "slow_s": 0.2}
    with serve(**trouble) as server:
        timeout_s = 0.1 if accident == "slow" else 5.0
        completions = complete(server.base_url, calls, max_attempts=20, timeout_s=timeout_s)
        requests = server.requests
    assert [done.text for done in completions] == undisturbed
    assert max(done.attempts for done in completions) > 1
    assert requests.total() == sum(done.attempts for done in completions)


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ({"server_error": 1.0}, "HTTP 500: The scripted server stumbled."),
        ({"html": 1.0}, "malformed reply"),
        ({"invalid_json": 1.0}, "malformed reply"),
    ],
)
def test_what_does_not_pass_fails_the_call_with_its_reason(
    behaviour: dict[str, Any], reason: str
) -> None:
    with serve(**behaviour) as server:
        (failed,) = complete(server.base_url, [call()], max_attempts=3)
        assert server.requests.total() == 3
    assert failed.text == ""
    assert failed.error is not None
    assert failed.error.startswith(reason)
    assert server.base_url in failed.error
    assert failed.attempts == 3


def test_retry_after_is_waited_for() -> None:
    behaviour = Behaviour(rate_limited=0.5, retry_after_s=0.2)
    request = request_hash(json.loads(request_bytes(call(), Dialect())))
    limited_once = ["rate_limited", None]
    script = next(
        script
        for script in (Script(seed, behaviour) for seed in itertools.count())
        if [accident(script, request, attempt) for attempt in (1, 2)] == limited_once
    )
    with ScriptedServer(script) as server:
        started = time.monotonic()
        (done,) = complete(server.base_url, [call()])
    assert done.attempts == 2
    assert time.monotonic() - started >= 0.2


def test_a_wait_beyond_reason_ends_the_run() -> None:
    with serve(rate_limited=1.0, retry_after_s=86_400) as server:
        with pytest.raises(FatalError, match="Retry-After: 24 h 00 min"):
            complete(server.base_url, [call()])
        assert server.requests.total() == 1


def test_a_server_that_is_always_busy_fails_the_call_when_its_time_is_up() -> None:
    with serve(rate_limited=1.0) as server:
        started = time.monotonic()
        (failed,) = complete(server.base_url, [call()])
        assert time.monotonic() - started < 5
        assert server.requests.total() == failed.attempts > 6
    assert (failed.error or "").startswith("HTTP 429: Too many requests.")


def test_a_prompt_that_is_too_long_fails_alone() -> None:
    with serve(context_tokens=50) as server:
        long, short = complete(server.base_url, [call(text="word " * 200), call()])
        assert server.requests.total() == 2
    assert long.error is not None
    assert "maximum context length is 50 tokens" in long.error
    assert short.error is None


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ({"api_key": "other"}, ("does not accept the key", "$STEEP_TEST_KEY", "HTTP 401")),
        ({"model": "other"}, ("does not know this model", "model 'm'", "The model 'm' does not")),
        ({"out_of_quota": True}, ("no quota or money left",)),
    ],
)
def test_what_concerns_all_calls_is_fatal_at_the_first(
    behaviour: dict[str, Any], words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEEP_TEST_KEY", KEY)
    with serve(**behaviour) as server:
        with pytest.raises(FatalError) as caught:
            complete(server.base_url, [call(), call(1)], api_key_env="STEEP_TEST_KEY")
        assert server.requests.total() == 1
    for word in (*words, server.base_url):
        assert word in str(caught.value)
    assert KEY not in str(caught.value)


def test_an_endpoint_that_is_down_is_fatal_at_once() -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    with pytest.raises(FatalError, match="does not answer") as caught:
        complete(url, [call()])
    assert url in str(caught.value)


def test_an_endpoint_that_never_says_a_word_is_fatal() -> None:
    with serve(dead=True) as server:
        with pytest.raises(FatalError, match="does not answer"):
            complete(server.base_url, [call()], max_attempts=3)
        assert server.requests.total() == 3


def test_an_endpoint_that_goes_down_is_fatal_after_the_time_to_wait() -> None:
    port = free_port()

    async def run() -> None:
        client = OpenAIClient(f"http://127.0.0.1:{port}/v1")
        worker = EndpointWorker(client, RetryPolicy(max_attempts=3, pause_s=0.001, total_s=0.2))
        try:
            with ScriptedServer(port=port):
                assert (await send(worker, call())).error is None
            await send(worker, call(1))
        finally:
            await client.close()

    with pytest.raises(FatalError, match="does not answer"):
        asyncio.run(run())


@pytest.mark.parametrize("understood", ["json_object", "none"])
def test_a_server_without_schemas_is_asked_in_other_words(understood: str) -> None:
    text = "Write JSON with entities of the Quillon Ferry."
    calls = [call(n, text, json_schema='{"type":"object"}') for n in range(3)]
    with serve(structured_output=understood) as server:
        completions = complete(server.base_url, calls)
        rephrased = {"json_object": 1, "none": 2}[understood]  # it is remembered after the first
        assert server.requests.total() == len(calls) + rephrased
    assert all('"entities"' in done.text for done in completions)
    assert {done.attempts for done in completions} == {1}


def test_a_seed_names_the_request() -> None:
    with serve() as server:
        complete(server.base_url, [call(), call(1)])
        expected = {request_hash(json.loads(request_bytes(call(n), Dialect()))) for n in range(2)}
    assert set(server.completed) == expected


def test_a_missing_key_is_told_before_any_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STEEP_TEST_KEY", raising=False)
    with pytest.raises(UserError, match="STEEP_TEST_KEY is not set"):
        OpenAIClient("http://localhost:1/v1", api_key_env="STEEP_TEST_KEY")


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("localhost:8000/v1", "not the address"),
        ("http://", "not the address"),
        ("https://me:pass@host/v1", "user name or password"),
    ],
)
def test_addresses_that_cannot_be_used(url: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint) as caught:
        OpenAIClient(url)
    assert "pass@" not in str(caught.value)


def test_the_key_is_sent_but_never_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEEP_TEST_KEY", KEY)
    with serve(api_key=KEY, context_tokens=50) as server:
        long, short = complete(
            server.base_url, [call(text=f"{KEY} " * 50), call()], api_key_env="STEEP_TEST_KEY"
        )
    assert short.error is None
    assert KEY not in repr((long, short))
