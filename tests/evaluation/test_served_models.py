"""Served models: a text or an error with its reason, whatever the server sends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asked import DOCUMENT, QUESTION

from calling import calling
from json_server import Body, Reply, serving
from steep.core.errors import UserError
from steep.evaluation.engines import TOO_LONG, Decoding, NoLikelihoods, Output, PromptTooLong
from steep.evaluation.http_engine import HttpEngine
from steep.evaluation.results import AnswerProtocol
from steep.evaluation.rows import ask_choices
from steep.ledger.ledger import Ledger

PROMPTS = [f"What is lock {number}?" for number in range(12)]


def chat(content: Any, finish_reason: str = "stop") -> Body:
    message = {"role": "assistant", "content": content}
    return {"choices": [{"message": message, "finish_reason": finish_reason}]}


def refusal(message: str) -> tuple[int, Body]:
    return 400, {"error": {"message": message, "type": "invalid_request_error", "code": None}}


def prompt_of(body: Body) -> str:
    return str(body["prompt"] if "prompt" in body else body["messages"][0]["content"])


def engine(base_url: str, endpoint: Any = "chat", ledger: Ledger | None = None) -> HttpEngine:
    return HttpEngine(calling(base_url, ledger=ledger), "m", "evaluate m", endpoint)


def texts(outputs: list[list[Output]]) -> list[str]:
    return [output.text for (output,) in outputs]


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
@pytest.mark.parametrize("names", [["temperature"], ["stop"], ["seed", "temperature", "stop"]])
def test_a_parameter_that_a_server_refuses_is_left_out_and_said_once(
    endpoint: str, names: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    def reply(body: Body, number: int) -> tuple[int, Any]:
        for name in names:
            if name in body:
                return refusal(f"Unsupported parameter: '{name}' is not supported by this model.")
        said = f"{prompt_of(body).split()[-1]} Yes.\n## More"
        return 200, {"choices": [{"text": said}]} if "prompt" in body else chat(said)

    with serving(reply) as base_url:
        remote = engine(base_url, endpoint)
        found = remote.generate(PROMPTS, Decoding(stop=("\n## ",)))
    assert texts(found) == [f"{prompt.split()[-1]} Yes." for prompt in PROMPTS]
    for name in names:
        assert caplog.text.count(f"'{name}' is not supported") == 1, caplog.text


def test_a_server_that_takes_the_usual_temperature_only_was_not_asked_greedily() -> None:
    def reply(body: Body, number: int) -> tuple[int, Any]:
        if body.get("temperature", 1) != 1:
            return refusal("'temperature' does not support 0. Only the default (1) value is.")
        return 200, chat("Answer: A.")

    with serving(reply) as base_url:
        remote = engine(base_url)
        assert remote.asked_without == []
        assert texts(remote.generate(PROMPTS[:3], Decoding())) == ["Answer: A."] * 3
        assert remote.asked_without == ["temperature"]


def test_a_request_that_is_refused_for_good_is_an_error_and_the_other_answers_are_kept(
    tmp_path: Path,
) -> None:
    def strict(body: Body, number: int) -> tuple[int, Any]:
        if "lock 7" in prompt_of(body):
            return refusal("This question breaks our rules.")
        return 200, chat("Answer: A.")

    seen: list[Body] = []
    reply = strict
    with (
        serving(lambda body, number: reply(body, number), seen) as base_url,
        Ledger(tmp_path / "ledger.db") as ledger,
    ):
        with pytest.raises(UserError) as caught:
            engine(base_url, ledger=ledger).generate(PROMPTS, Decoding())
        assert "failed on 1 of 12 requests" in str(caught.value)
        assert "This question breaks our rules." in str(caught.value)
        seen.clear()
        reply = lambda body, number: (200, chat("Answer: A."))  # noqa: E731
        found = engine(base_url, ledger=ledger).generate(PROMPTS, Decoding())
    assert texts(found) == ["Answer: A."] * len(PROMPTS)
    assert [prompt_of(body) for body in seen] == ["What is lock 7?"]


def test_a_server_that_refuses_all_is_not_asked_for_all() -> None:
    seen: list[Body] = []
    many = [f"Who keeps gate {number}?" for number in range(200)]
    with (
        serving(lambda body, number: refusal("No such deployment option."), seen) as base_url,
        pytest.raises(UserError, match="No such deployment option"),
    ):
        engine(base_url).generate(many, Decoding())
    assert len(seen) < 30


@pytest.mark.parametrize(
    "odd",
    [
        {"error": {"message": "The engine is warming up."}},
        {"error": {"message": "The engine is warming up."}} | chat(None),
        chat("Half a", "error"),
        {"choices": []},
        chat({"a": "mapping"}),
    ],
)
def test_what_is_no_answer_is_asked_again_and_then_an_error(odd: Body) -> None:
    with serving(lambda body, number: (200, odd if number < 2 else chat("B."))) as base_url:
        assert texts(engine(base_url).generate(PROMPTS[:1], Decoding())) == ["B."]
    with (
        serving(lambda body, number: (200, odd)) as base_url,
        pytest.raises(UserError, match="failed on 1 of 1 requests"),
    ):
        engine(base_url).generate(PROMPTS[:1], Decoding())


def test_parts_are_read_and_thoughts_are_none_of_the_text() -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Perhaps Answer: C."}]},
        {"type": "text", "text": "It is so.\n"},
        {"type": "text", "text": "Answer: B."},
    ]
    with serving(lambda body, number: (200, chat(parts))) as base_url:
        (found,) = texts(engine(base_url).generate(PROMPTS[:1], Decoding()))
    assert found == "It is so.\nAnswer: B."


def test_a_prompt_that_outgrows_a_served_context_is_no_wrong_answer() -> None:
    with serving(lambda body, number: refusal("maximum context length is 99 tokens")) as base_url:
        ((output,),) = engine(base_url).generate(PROMPTS[:1], Decoding())
        assert output.finish_reason == TOO_LONG
        with pytest.raises(PromptTooLong):
            ask_choices(engine(base_url), "m", [QUESTION], {"quillon": DOCUMENT}, AnswerProtocol())
        with pytest.raises(PromptTooLong, match="99 tokens"):
            engine(base_url, "completions").logprobs(PROMPTS[:1], [["a", "b"]])


@pytest.mark.parametrize(
    "answer",
    [
        refusal("echo is not supported"),
        (200, {"choices": [{"text": "x"}], "usage": {"prompt_tokens": 3}}),
        (200, {"choices": [{"logprobs": {"token_logprobs": [None, -1, None]}}],
               "usage": {"prompt_tokens": 3}}),
    ],
)  # fmt: skip
def test_a_server_that_does_not_echo_gives_no_likelihoods(answer: tuple[int, Any]) -> None:
    with (
        serving(lambda body, number: answer) as base_url,
        pytest.raises(NoLikelihoods, match="no log-probabilities of a prompt"),
    ):
        engine(base_url, "completions").logprobs(PROMPTS[:2], [["a", "b"]] * 2)


def test_rows_are_the_same_with_and_without_trouble() -> None:
    questions = [replace(QUESTION, id=f"q{n}", question=f"Lock {n}?") for n in range(5)]

    def troubled(body: Body, number: int) -> tuple[int, Any]:
        if number % 3 == 0:
            return 503, {"error": {"message": "busy"}}
        return 200, chat("Answer: B.")

    rows = []
    replies: list[Reply] = [troubled, lambda body, number: (200, chat("Answer: B."))]
    for reply in replies:
        with serving(reply) as base_url:
            rows.append(
                ask_choices(
                    engine(base_url),
                    "m",
                    questions,
                    {"quillon": DOCUMENT},
                    AnswerProtocol(samples=2),
                )
            )
    assert rows[0] == rows[1] and len(rows[0]) == 10
