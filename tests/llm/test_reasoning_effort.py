"""Models that reason: how much they are asked to, and what of it is counted."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from model_calls import call

from json_server import json_server, said
from steep.core.calls import Sampling, sampling_json
from steep.llm.dialect import Dialect
from steep.llm.openai import OpenAIClient
from steep.llm.openai_batch_wire import request_line
from steep.llm.openai_wire import request_bytes


def body_of(effort: str | None) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(request_bytes(call(reasoning_effort=effort), Dialect()))
    return found


def test_an_effort_is_sent_only_if_it_is_set() -> None:
    assert not {"reasoning_effort", "chat_template_kwargs"} & body_of(None).keys()
    assert body_of("low")["reasoning_effort"] == "low"
    assert "chat_template_kwargs" not in body_of("low")
    off = body_of("none")
    assert off["reasoning_effort"] == "none"
    assert off["chat_template_kwargs"] == {"enable_thinking": False}
    line = json.loads(request_line(call(reasoning_effort="none"), Dialect()))
    assert line["body"]["reasoning_effort"] == "none"
    assert "chat_template_kwargs" not in line["body"]


def test_calls_without_an_effort_keep_their_ids() -> None:
    assert call().id == "29550032ca4bc8bd8963ba5cfd0931dd"
    assert "reasoning" not in sampling_json(Sampling())
    ids = {call(reasoning_effort=each).id for each in (None, "none", "low")}
    assert len(ids) == 3


@pytest.mark.parametrize(
    "refusals",
    [
        ["Unsupported value: 'reasoning_effort' does not support 'none' with this model."],
        ["Unrecognized request argument supplied: chat_template_kwargs", "reasoning.effort: extra"],
    ],
)
def test_an_endpoint_that_refuses_an_effort_is_asked_without(
    refusals: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    def reply(body: dict[str, Any], number: int) -> tuple[int, Any]:
        if number < len(refusals):
            return 400, {"error": {"message": refusals[number]}}
        return 200, said("The ferry.")

    async def ask(url: str) -> list[str]:
        client = OpenAIClient(url)
        try:
            calls = [call(n, reasoning_effort="none") for n in range(3)]
            return [(await client.complete([each]))[0].text for each in calls]
        finally:
            await client.close()

    with json_server(reply) as server, caplog.at_level(logging.WARNING):
        assert asyncio.run(ask(server.base_url)) == ["The ferry."] * 3
        assert all("reasoning_effort" not in each for each in server.bodies[len(refusals) :])
        assert len(server.bodies) == 3 + len(refusals)
    warnings = [each.getMessage() for each in caplog.records]
    assert len(warnings) == 1 and "'reasoning_effort' is left out" in warnings[0]
