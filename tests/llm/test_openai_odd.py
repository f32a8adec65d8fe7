"""The HTTP client against servers that differ from OpenAI's, over real sockets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from json_server import Reply, json_server, said
from steep.core.calls import Call, Completion, Message, Sampling, Usage
from steep.core.errors import UserError
from steep.llm.client import FatalError, TransientError
from steep.llm.openai import MOST_UNFOUND, OpenAIClient
from steep.llm.openai_wire import read_answer
from steep.llm.prices import Prices

T = TypeVar("T")
PRICES = Prices(usd_per_million_input_tokens=1.0, usd_per_million_output_tokens=2.0)


def call(number: int = 0, text: str = "Tell of Corran Light.", **sampling: Any) -> Call:
    messages = (Message("system", ("Be brief.",)), Message("user", (text, f"\n- {number}")))
    return Call("toy", "pair", "doc", (), number, "m", messages, Sampling(**sampling))


def using(url: str, work: Callable[[OpenAIClient], Awaitable[T]]) -> T:
    async def run() -> T:
        client = OpenAIClient(url, timeout_s=5.0, prices=PRICES)
        try:
            return await work(client)
        finally:
            await client.close()

    return asyncio.run(run())


def complete(url: str, *calls: Call) -> list[Completion]:
    async def work(client: OpenAIClient) -> list[Completion]:
        return [(await client.complete([each]))[0] for each in calls]

    return using(url, work)


def refusing(*names: str) -> Reply:
    """A strict server: one objection at a time, to the first of these that it finds."""

    def respond(body: dict[str, Any], number: int) -> tuple[int, Any]:
        for name in names:
            if name in body:
                detail = [
                    {"type": "extra_forbidden", "loc": ["body", name], "msg": "not permitted"}
                ]
                return 422, {"detail": detail}
        return 200, said("The lamp was lit.")

    return respond


def test_what_a_server_refuses_is_left_out_from_then_on_and_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked = [call(n, temperature=0.5, top_p=0.9, frequency_penalty=0.1) for n in range(3)]
    with (
        caplog.at_level(logging.WARNING, "steep"),
        json_server(refusing("seed", "temperature", "frequency_penalty")) as server,
    ):
        completions = complete(server.base_url, *asked)
    assert [done.error for done in completions] == [None] * 3
    assert len(server.bodies) == 3 + 3
    assert set(server.bodies[-1]) == {"model", "top_p", "max_tokens", "messages"}
    (told,) = [record.getMessage() for record in caplog.records]
    left_out = "'frequency_penalty' is left out, 'seed' is left out, 'temperature' is left out"
    assert f"{left_out}, because: HTTP 422" in told


def test_temperature_and_top_p_are_sent_though_they_are_the_defaults() -> None:
    """Other servers have other defaults, and would sample in another way than the ledger says."""
    with json_server(lambda body, number: (200, said("The lamp was lit."))) as server:
        complete(server.base_url, call())
    (body,) = server.bodies
    assert (body["temperature"], body["top_p"]) == (1.0, 1.0)
    assert "frequency_penalty" not in body and "seed" in body


def test_a_server_that_takes_one_of_both_is_sent_the_temperature() -> None:
    def respond(body: dict[str, Any], number: int) -> tuple[int, Any]:
        if {"temperature", "top_p"} <= body.keys():
            return 400, {"error": {"message": "`temperature` and `top_p` cannot both be specified"}}
        return 200, said("The lamp was lit.")

    with json_server(respond) as server:
        completions = complete(server.base_url, call(), call(1))
    assert [done.error for done in completions] == [None, None]
    assert len(server.bodies) == 3
    assert "temperature" in server.bodies[-1] and "top_p" not in server.bodies[-1]


def test_a_server_that_takes_no_limit_on_answers_at_all(caplog: pytest.LogCaptureFixture) -> None:
    strict = refusing("max_tokens", "max_completion_tokens")
    with caplog.at_level(logging.WARNING, "steep"), json_server(strict) as server:
        completions = complete(server.base_url, call(), call(1))
    assert [done.error for done in completions] == [None, None]
    assert len(server.bodies) == 4
    assert not {"max_tokens", "max_completion_tokens"} & server.bodies[-1].keys()
    (told,) = [record.getMessage() for record in caplog.records]
    assert "'max_tokens' is left out, only the context of the model limits its answers" in told


def test_a_hard_limit_needs_one_on_answers() -> None:
    async def bounded(url: str) -> None:
        client = OpenAIClient(url, prices=PRICES, bounded=True)
        try:
            await client.complete([call()])
        finally:
            await client.close()

    with (
        json_server(refusing("max_tokens", "max_completion_tokens")) as server,
        pytest.raises(FatalError, match="no limit on the length of an answer") as raised,
    ):
        asyncio.run(bounded(server.base_url))
    assert "generate.max_cost_usd" in str(raised.value) and "HTTP 422" in str(raised.value)
    assert len(server.bodies) == 2, "nothing was bought"
    with json_server(refusing("max_tokens")) as server:
        asyncio.run(bounded(server.base_url))
    assert server.bodies[-1]["max_completion_tokens"] == 2048


def test_words_that_do_not_help_are_not_kept() -> None:
    """An objection to one call, which happens to name a parameter, says nothing of the others."""

    def respond(body: dict[str, Any], number: int) -> tuple[int, Any]:
        if "a seed of doubt" in body["messages"][-1]["content"]:
            return 400, {"error": {"message": "No: 'There was a seed of doubt in the grammar.'"}}
        return 200, said("The lamp was lit.")

    with json_server(respond) as server:
        odd, plain = complete(server.base_url, call(text="There was a seed of doubt."), call(1))
    assert odd.error is not None and "HTTP 400: No" in odd.error
    assert plain.error is None
    assert "seed" in server.bodies[-1]
    assert len(server.bodies) < 6


def test_a_template_without_a_system_message() -> None:
    def respond(body: dict[str, Any], number: int) -> tuple[int, Any]:
        if any(message["role"] == "system" for message in body["messages"]):
            return 400, {"object": "error", "message": "System role not supported", "code": 400}
        return 200, said("The lamp was lit.")

    with json_server(respond) as server:
        first, second = complete(server.base_url, call(), call(1))
    assert (first.error, second.error) == (None, None)
    (message,) = server.bodies[-1]["messages"]
    assert message["content"] == "Be brief.\n\nTell of Corran Light.\n- 1"
    assert len(server.bodies) == 3


def test_other_requests_are_phrased_in_the_same_way() -> None:
    async def work(client: OpenAIClient) -> str:
        body = {"model": "m", "prompt": "Tell.", "temperature": 0.0, "max_tokens": 7, "stop": ["."]}
        return read_answer(await client.post("completions", body)).text

    with json_server(refusing("temperature", "stop", "max_tokens")) as server:
        assert using(server.base_url, work) == "The lamp was lit."
    last = server.bodies[-1]
    assert last == {"model": "m", "prompt": "Tell.", "max_completion_tokens": 7}


def test_json_that_was_not_sampled_well_is_another_try() -> None:
    error = {"message": "Failed to generate JSON.", "code": "json_validate_failed"}
    with (
        json_server(lambda body, number: (400, {"error": error})) as server,
        pytest.raises(TransientError, match="Failed to generate JSON"),
    ):
        complete(server.base_url, call())
    assert len(server.bodies) == 1


def test_counts_that_cannot_be_true_cost_an_unknown_sum() -> None:
    odd = said("The lamp was lit.", usage={"prompt_tokens": -3, "completion_tokens": None})
    with json_server(lambda body, number: (200, odd)) as server:
        (done,) = complete(server.base_url, call())
    assert (done.text, done.usage, done.cost_usd) == ("The lamp was lit.", Usage(), None)


def test_a_broken_reply_with_a_usage_is_one_that_was_billed() -> None:
    reply = {"choices": [], "usage": {"prompt_tokens": 20, "completion_tokens": 5}}
    with (
        json_server(lambda body, number: (200, reply)) as server,
        pytest.raises(TransientError, match="malformed") as caught,
    ):
        complete(server.base_url, call())
    assert caught.value.billed
    assert caught.value.usage == Usage(20, 0, 5)
    assert caught.value.cost_usd == pytest.approx(30e-6)


@pytest.mark.parametrize("body", ["", "<html>Bad gateway</html>", "[" * 100_000])
def test_a_broken_reply_without_a_usage_may_have_been_billed(body: str) -> None:
    with (
        json_server(lambda asked, number: (200, body)) as server,
        pytest.raises(TransientError, match="malformed reply") as caught,
    ):
        complete(server.base_url, call())
    assert (caught.value.billed, caught.value.usage) == (True, None)


def test_what_was_not_sent_is_told_from_what_was_not_answered() -> None:
    serving = json_server(lambda body, number: (200, said("The lamp was lit.")))
    server = serving.__enter__()

    async def work(client: OpenAIClient) -> TransientError:
        await client.complete([call()])
        await client.close()  # the next one opens a connection
        await asyncio.to_thread(serving.__exit__, None, None, None)
        with pytest.raises(TransientError, match="no connection") as caught:
            await client.complete([call(1)])
        return caught.value

    error = using(server.base_url, work)
    assert (error.sent, error.answered, error.billed) == (False, False, False)


def test_an_empty_account_stops_the_run_whatever_the_status() -> None:
    low = {"type": "invalid_request_error", "message": "Your credit balance is too low."}

    def respond(body: dict[str, Any], number: int) -> tuple[int, Any]:
        return (200, said("The lamp was lit.")) if number == 0 else (400, {"error": low})

    with json_server(respond) as server, pytest.raises(FatalError, match="no quota or money left"):
        complete(server.base_url, *map(call, range(5)))
    assert len(server.bodies) == 2


def test_a_model_that_disappears_ends_the_run_after_a_few_calls() -> None:
    def respond(body: dict[str, Any], number: int) -> tuple[int, Any]:
        gone = {"error": {"message": "The model 'm' does not exist.", "code": "model_not_found"}}
        return (200, said("The lamp was lit.")) if number == 0 else (404, gone)

    with (
        json_server(respond) as server,
        pytest.raises(FatalError, match="does not know this model"),
    ):
        complete(server.base_url, *map(call, range(50)))
    assert len(server.bodies) == 1 + MOST_UNFOUND


def test_a_prompt_that_was_cut_is_noticed_once(caplog: pytest.LogCaptureFixture) -> None:
    cut = said("The lamp was lit.", usage={"prompt_tokens": 2050, "completion_tokens": 5})
    long = "The keeper wrote the hour of every ship into his book. " * 800
    with (
        caplog.at_level(logging.WARNING, "steep"),
        json_server(lambda body, number: (200, cut)) as server,
    ):
        complete(server.base_url, call(), call(3, " " * 90_000), call(1, long), call(2, long))
    (told,) = [record.getMessage() for record in caplog.records]
    assert "2,050 tokens for a prompt of some" in told
    assert "num_ctx" in told


def test_the_query_of_an_address_is_sent() -> None:
    with json_server(lambda body, number: (200, said("The lamp was lit."))) as server:
        (done,) = complete(f"{server.base_url}?api-version=2030-01-01", call())
    assert done.error is None
    assert server.paths == ["/v1/chat/completions?api-version=2030-01-01"]


def test_thinking_is_told_once_and_is_no_part_of_the_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    thinks = said("<think>They ask.</think>\n\nThe lamp was lit.<|im_end|>")
    with (
        caplog.at_level(logging.INFO, "steep"),
        json_server(lambda body, number: (200, thinks)) as server,
    ):
        completions = complete(server.base_url, call(), call(1))
    assert {done.text for done in completions} == {"The lamp was lit."}
    assert sum("reasons before it answers" in r.getMessage() for r in caplog.records) == 1


def test_a_key_with_two_lines_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEEP_TEST_KEY", "sk-one\nsk-two")
    with pytest.raises(UserError, match="a line break at character 7"):
        OpenAIClient("http://localhost:1/v1", api_key_env="STEEP_TEST_KEY")
