from __future__ import annotations

import json
from typing import Any

import pytest

from steep.core.calls import Usage
from steep.llm.client import TransientError
from steep.llm.openai_wire import (
    Answer,
    Dialect,
    Hopeless,
    Misunderstood,
    Rejected,
    Reply,
    read_reply,
)


def ok(message: dict[str, Any], **more: Any) -> Reply:
    choice = {"message": message, "finish_reason": "stop"}
    return Reply(200, None, json.dumps({"choices": [choice], **more}))


def error(status: int, retry_after: str | None = None, **fields: Any) -> Reply:
    return Reply(status, retry_after, json.dumps({"error": fields}))


def test_answers_of_servers_that_leave_things_out() -> None:
    assert read_reply(ok({"content": "Text"}), Dialect()) == Answer("Text", "stop", None)
    assert read_reply(ok({"content": None}), Dialect()) == Answer("", "stop", None)
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "prompt_tokens_details": None}
    assert read_reply(ok({"content": "x"}, usage=usage), Dialect()).usage == Usage(3, 0, 4)


def test_a_refusal_in_its_own_field_is_no_text() -> None:
    found = read_reply(ok({"content": None, "refusal": "No."}), Dialect())
    assert found.finish_reason == "refusal"
    filtered = read_reply(error(400, code="content_filter", message="filtered"), Dialect())
    assert filtered == Answer("", "content_filter", None)


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


def test_an_error_inside_a_success_is_told() -> None:
    with pytest.raises(TransientError, match="overloaded"):
        read_reply(Reply(200, None, '{"error": {"message": "overloaded"}}'), Dialect())


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (error(408), TransientError),
        (error(409), TransientError),
        (error(503), TransientError),
        (error(429, code="rate_limit_exceeded"), TransientError),
        (error(429, code="insufficient_quota"), Hopeless),
        (error(401), Hopeless),
        (error(402), Hopeless),
        (error(403), Hopeless),
        (error(404), Hopeless),
        (error(308), Hopeless),
        (error(400, code="context_length_exceeded"), Rejected),
        (error(422, message="bad"), Rejected),
        (Reply(400, None, "plain text"), Rejected),
        (Reply(400, None, '{"error": "a string"}'), Rejected),
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
        with pytest.raises(Misunderstood) as caught:
            read_reply(objection, dialect)
        dialect = caught.value.dialect
        assert dialect.response_format == expected
    with pytest.raises(Rejected):
        read_reply(objection, dialect)


def test_models_that_want_another_name_for_the_limit() -> None:
    objection = error(400, message="'max_tokens' is unsupported. Use 'max_completion_tokens'.")
    with pytest.raises(Misunderstood) as caught:
        read_reply(objection, Dialect())
    assert caught.value.dialect == Dialect(length_key="max_completion_tokens")
