from __future__ import annotations

import json
from typing import Any

import pytest

from steep.core.calls import Usage
from steep.llm.client import TransientError
from steep.llm.dialect import Dialect
from steep.llm.openai_errors import (
    EndpointUnusable,
    RejectedRequest,
    Reply,
    TooLong,
    UnsupportedParameter,
)
from steep.llm.openai_wire import ParsedAnswer, read_reply


def ok(message: dict[str, Any], **more: Any) -> Reply:
    choice = {"message": message, "finish_reason": "stop"}
    return Reply(200, None, json.dumps({"choices": [choice], **more}))


def error(status: int, retry_after: str | None = None, **fields: Any) -> Reply:
    return Reply(status, retry_after, json.dumps({"error": fields}))


def test_answers_of_servers_that_leave_things_out() -> None:
    assert read_reply(ok({"content": "Text"}), Dialect()) == ParsedAnswer("Text", "stop", None)
    assert read_reply(ok({"content": None}), Dialect()) == ParsedAnswer("", "stop", None)
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "prompt_tokens_details": None}
    assert read_reply(ok({"content": "x"}, usage=usage), Dialect()).usage == Usage(3, 0, 4)


def test_a_refusal_in_its_own_field_is_no_text() -> None:
    found = read_reply(ok({"content": None, "refusal": "No."}), Dialect())
    assert found.finish_reason == "refusal"
    filtered = read_reply(error(400, code="content_filter", message="filtered"), Dialect())
    assert filtered == ParsedAnswer("", "content_filter", None)


def test_half_a_character_is_replaced() -> None:
    cut = Reply(200, None, '{"choices": [{"message": {"content": "a\\ud83d"}}]}')
    assert read_reply(cut, Dialect()).text == "a\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    "body",
    ["", "null", "[]", '{"choices": []}', '{"choices": [{}]}', '{"choices": [{"message": "x"}]}'],
)
def test_bodies_that_hold_no_answer_are_tried_again(body: str) -> None:
    with pytest.raises(TransientError, match="malformed"):
        read_reply(Reply(200, None, body), Dialect())


def in_choice(text: str | None, finish_reason: str = "error", **more: Any) -> dict[str, Any]:
    choice = {"message": {"content": text}, "finish_reason": finish_reason, **more}
    return {"choices": [choice]}


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ({"error": {"message": "overloaded"}}, TransientError, "overloaded"),
        ({"error": "try later"}, TransientError, "try later"),
        ([{"error": {"code": 503, "message": "The model is overloaded."}}], TransientError, "503"),
        ({"error": {"code": 402, "message": "Pay first."}}, EndpointUnusable, "402: Pay first."),
        ({"error": {"code": "insufficient_quota"}}, EndpointUnusable, "insufficient_quota"),
        ({"error": {"code": 401, "message": "Who are you?"}}, EndpointUnusable, "401"),
        ({"error": {"code": 400, "message": "Bad."}}, RejectedRequest, "400: Bad."),
        (
            {"error": {"code": 400, "message": "'seed' is not supported"}},
            UnsupportedParameter,
            "'seed' is not supported",
        ),
        (
            {**in_choice(None, "stop"), "error": {"code": 429, "message": "Slowly."}},
            TransientError,
            "429: Slowly.",
        ),
        (in_choice("The lamp was", error={"code": 502, "message": "Gone."}), TransientError, "502"),
        (
            in_choice("The lamp was", error={"code": 402, "message": "Paid?"}),
            EndpointUnusable,
            "402",
        ),
        (in_choice("The lamp was"), TransientError, "finish_reason 'error'"),
        (in_choice("The lamp was", "abort"), TransientError, "finish_reason 'abort'"),
        ({"object": "error", "message": "Internal", "code": 500}, TransientError, "500: Internal"),
        ({"code": "Throttling", "message": "Requests throttled."}, TransientError, "429"),
        (
            {"error": {"code": 429, "message": "Failed.", "metadata": {"raw": "one a minute"}}},
            TransientError,
            "one a minute",
        ),
    ],
)
def test_an_error_inside_a_success_is_no_answer(
    body: Any, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        read_reply(Reply(200, None, json.dumps(body)), Dialect())


def test_an_error_inside_a_success_is_an_overload_if_it_says_so() -> None:
    busy = {"error": {"code": "rate_limit_exceeded", "message": "Slowly."}}
    with pytest.raises(TransientError) as caught:
        read_reply(Reply(200, None, json.dumps(busy)), Dialect())
    assert caught.value.overloaded
    assert not caught.value.billed


def test_an_empty_error_beside_an_answer_is_none() -> None:
    for nothing in (None, {}, "", {"code": None, "message": ""}):
        assert read_reply(ok({"content": "Text"}, error=nothing), Dialect()).text == "Text"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("end_turn", "stop"), ("EOS", "stop"), ("STOP", "stop"), ("stop_sequence", "stop"),
        ("MAX_TOKENS", "length"), ("model_length", "length"),
        ("SAFETY", "content_filter"), ("RECITATION", "content_filter"), ("refusal", "refusal"),
        (None, "unknown"), ("tool_calls", "tool_calls"),
    ],
)  # fmt: skip
def test_the_words_of_other_vendors_for_the_end(said: str | None, meant: str) -> None:
    choice = {"message": {"content": "Text"}, "finish_reason": said}
    answer = read_reply(Reply(200, None, json.dumps({"choices": [choice]})), Dialect())
    assert answer.finish_reason == meant


@pytest.mark.parametrize(
    ("body", "text", "thought"),
    [
        (
            {"choices": [{"message": {"content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
                {"type": "text", "text": "The lamp "}, {"type": "text", "text": "was lit."},
            ]}}]},
            "The lamp was lit.", True,
        ),
        ({"choices": [{"message": {"content": ["The ", "lamp."]}}]}, "The lamp.", False),
        ({"choices": [{"message": {"content": {"text": "The lamp."}}}]}, "The lamp.", False),
        ({"choices": [{"text": "The lamp.", "finish_reason": "stop"}]}, "The lamp.", False),
        (
            {"content": [{"type": "text", "text": "The lamp."}], "stop_reason": "end_turn"},
            "The lamp.", False,
        ),
        ({"message": {"content": "The lamp."}, "done_reason": "stop"}, "The lamp.", False),
        (
            {"choices": [{"message": {"content": "The lamp.", "reasoning_content": "Hm."}}]},
            "The lamp.", True,
        ),
    ],
)  # fmt: skip
def test_answers_in_other_shapes(body: Any, text: str, thought: bool) -> None:
    answer = read_reply(Reply(200, None, json.dumps(body)), Dialect())
    assert (answer.text, answer.thought) == (text, thought)


@pytest.mark.parametrize(
    "message",
    [
        {"content": None, "reasoning_content": "Let me think."},
        {"content": "", "reasoning": "Let me think."},
        {"content": "<think>Let me think."},
        {"content": [{"type": "thinking", "thinking": "Let me think."}]},
    ],
)
def test_an_answer_that_is_all_thought_says_so(message: dict[str, Any]) -> None:
    choice = {"message": message, "finish_reason": "length"}
    answer = read_reply(Reply(200, None, json.dumps({"choices": [choice]})), Dialect())
    assert (answer.text, answer.finish_reason) == ("", "reasoning")


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        (400, {"code": "content_filter"}),
        (400, {"code": "data_inspection_failed"}),
        (403, {"message": "Your input was flagged by moderation."}),
        (400, {"innererror": {"code": "ResponsibleAIPolicyViolation"}}),
    ],
)
def test_the_filter_of_a_provider_is_a_refusal(status: int, fields: dict[str, Any]) -> None:
    assert read_reply(error(status, **fields), Dialect()) == ParsedAnswer(
        "", "content_filter", None
    )


def test_a_redirect_says_where_it_leads() -> None:
    reply = Reply(308, None, "", location="https://elsewhere.example/v1/chat/completions")
    with pytest.raises(EndpointUnusable, match=r"redirects to https://elsewhere\.example/v1"):
        read_reply(reply, Dialect())


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (error(408), TransientError),
        (error(409), TransientError),
        (error(503), TransientError),
        (error(429, code="rate_limit_exceeded"), TransientError),
        (error(429, code="insufficient_quota"), EndpointUnusable),
        (error(401), EndpointUnusable),
        (error(402), EndpointUnusable),
        (error(403), EndpointUnusable),
        (error(404), EndpointUnusable),
        (error(308), EndpointUnusable),
        (error(400, code="context_length_exceeded"), TooLong),
        (error(500, type="exceed_context_size_error", message="the context size"), TooLong),
        (error(500, message="Failed to parse the grammar"), UnsupportedParameter),
        (error(500, message="Failed"), TransientError),
        (error(429, message="You exceeded your current quota, try in 30 s."), TransientError),
        (error(400, message="You have reached your API usage limits."), EndpointUnusable),
        (error(429, message="Insufficient balance"), EndpointUnusable),
        (error(400, message="API key not valid."), EndpointUnusable),
        (Reply(429, None, '[{"error": {"code": 429, "message": "Slowly."}}]'), TransientError),
        (error(422, message="bad"), RejectedRequest),
        (Reply(400, None, "plain text"), RejectedRequest),
        (Reply(400, None, '{"error": "a string"}'), RejectedRequest),
    ],
)
def test_statuses_say_who_must_act(reply: Reply, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=f"HTTP {reply.status}"):
        read_reply(reply, Dialect())


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("-1", 0.0),
        ("Thu, 01 Jan 2026 00:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2025 00:00:30 GMT", 0.0),
        ("soon", None),
        (None, None),
    ],
)
def test_retry_after(header: str | None, wait_s: float | None) -> None:
    with pytest.raises(TransientError) as caught:
        servers_clock = "Thu, 01 Jan 2026 00:00:00 GMT"
        read_reply(error(429, header)._replace(date=servers_clock), Dialect())
    assert caught.value.wait_s == wait_s
    assert caught.value.overloaded


def test_a_date_without_the_servers_clock_is_not_compared_with_ours() -> None:
    with pytest.raises(TransientError) as caught:
        read_reply(error(429, "Thu, 01 Jan 2099 00:00:30 GMT"), Dialect())
    assert caught.value.wait_s is None


def test_dialects_get_weaker_until_nothing_is_left_to_give_up() -> None:
    objection = error(400, message="Invalid parameter: 'response_format' of type 'json_schema'")
    dialect = Dialect()
    for expected in ("json_object", "none"):
        with pytest.raises(UnsupportedParameter) as caught:
            read_reply(objection, dialect)
        dialect = caught.value.dialect
        assert dialect.response_format == expected
    with pytest.raises(RejectedRequest):
        read_reply(objection, dialect)


def test_models_that_want_another_name_for_the_limit() -> None:
    objection = error(400, message="'max_tokens' is unsupported. Use 'max_completion_tokens'.")
    with pytest.raises(UnsupportedParameter) as caught:
        read_reply(objection, Dialect())
    assert caught.value.dialect == Dialect(length_key="max_completion_tokens")
