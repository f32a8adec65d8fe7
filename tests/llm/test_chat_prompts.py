"""What models in this process share, with a tokenizer of characters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from jinja2 import TemplateError

from steep.core.calls import Call, Message, Sampling, Usage
from steep.llm.client import FatalError
from steep.llm.local.prompts import completion_of, prompt_ids

MESSAGES = (Message("system", ("Be brief.",)), Message("user", ("Tell.",)))
CALL = Call("toy", "pair", "doc", (), 0, "m", MESSAGES)


class Characters:
    """A tokenizer whose template takes the roles named, and ends as told."""

    def __init__(self, roles: Sequence[str], end: str = "assistant:") -> None:
        self._roles, self._end = roles, end
        self.options: dict[str, Any] = {}

    def apply_chat_template(self, messages: Sequence[dict[str, str]], **options: Any) -> str:
        self.options = options
        for message in messages:
            if message["role"] not in self._roles:
                raise TemplateError(f"Role {message['role']} not supported")
        return "".join(f"{m['role']}:{m['content']}\n" for m in messages) + self._end

    unk_token_id = None
    added_tokens_decoder: ClassVar[dict[int, Any]] = {}

    def __len__(self) -> int:
        return 0x110000

    def __call__(
        self, texts: list[str], add_special_tokens: bool, split_special_tokens: bool
    ) -> Any:
        assert not add_special_tokens and not split_special_tokens
        return SimpleNamespace(input_ids=[list(map(ord, text)) for text in texts])

    def decode(self, ids: Sequence[int], **options: Any) -> str:
        return "".join(map(chr, ids))


def test_a_template_without_a_system_message_gets_it_in_the_users() -> None:
    tokenizer = Characters(["user"])
    prompt = tokenizer.decode(prompt_ids(tokenizer, CALL))
    assert prompt == "user:Be brief.\n\nTell.\nassistant:"
    both = Characters(["system", "user"])
    assert both.decode(prompt_ids(both, CALL)).startswith("system:Be brief.\nuser:Tell.")


@pytest.mark.parametrize(
    ("effort", "passed"),
    [
        (None, {"enable_thinking": False}),
        ("none", {"enable_thinking": False}),
        ("low", {"enable_thinking": True, "reasoning_effort": "low"}),
    ],
)
def test_a_template_is_told_the_effort_of_reasoning(
    effort: str | None, passed: dict[str, Any]
) -> None:
    tokenizer = Characters(["system", "user"])
    prompt_ids(tokenizer, replace(CALL, sampling=Sampling(reasoning_effort=effort)))
    assert {name: tokenizer.options.get(name) for name in passed} == passed
    assert ("reasoning_effort" in tokenizer.options) == ("reasoning_effort" in passed)


def test_a_template_that_takes_no_message_is_an_error() -> None:
    with pytest.raises(FatalError, match="chat template of this model refuses"):
        prompt_ids(Characters([]), CALL)


@pytest.mark.parametrize(
    ("end", "text", "answer", "reason"),
    [
        ("a:", "The lamp.<|im_end|>\n", "The lamp.", "stop"),
        ("a:", "<think>Hm.</think>\n\nThe lamp.", "The lamp.", "stop"),
        ("<think>\n", "Hm.\n</think>\n\nThe lamp.", "The lamp.", "stop"),
        ("<think>\n", "Hm. Let me", "", "reasoning"),
    ],
)
def test_the_thought_of_a_model_in_this_process_is_no_part_of_its_text(
    end: str, text: str, answer: str, reason: str
) -> None:
    tokenizer = Characters(["system", "user"], end)
    prompt = prompt_ids(tokenizer, CALL)
    usage = Usage(len(prompt), 0, len(text))
    done = completion_of(CALL, tokenizer, prompt, text, "stop", usage, 0.1)
    thought = len(text) if reason == "reasoning" else 0
    counted = replace(usage, reasoning_tokens=thought)
    assert (done.text, done.finish_reason, done.usage) == (answer, reason, counted)
