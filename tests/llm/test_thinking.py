from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steep.llm.thinking import StreamedAnswer, final_reason, opened_thought, separate

REST = " <- No [1] tag."
ANSWER = "The lamp of Corran Light was lit in 1871.\n\nIt burned whale oil."
HARMONY = (
    "<|channel|>analysis<|message|>They ask about the lamp.<|end|>"
    "<|start|>assistant<|channel|>final<|message|>"
)


BEFORE = (
    "<think>\nThey ask about the lamp.\n</think>\n\n",
    "\n\n<think>They ask about the lamp.</think>",
    "They ask about the lamp.\n</think>\n\n",
    "They ask about the lamp.</think>",
    "<THINKING>They ask.\n\nAbout the lamp.</THINKING>\n",
    "<think>One.</think>\n<think>Two.</think>\n",
    "<think>I could write <think> here.</think> Hm.</think>\n",
    "<|im_start|>assistant\n<think>They ask.</think>\n",
    "[THINK]They ask about the lamp.[/THINK]",
    "◁think▷They ask.◁/think▷",
    "<|START_THINKING|>They ask.<|END_THINKING|><|START_RESPONSE|>",
    HARMONY,
    "<|start|>assistant" + HARMONY,
    "analysisThey ask about the lamp.assistantfinal",
)


@pytest.mark.parametrize("before", BEFORE)
def test_a_thought_is_no_part_of_the_answer(before: str) -> None:
    found = separate(before + ANSWER)
    assert found.answer.removeprefix("<|START_RESPONSE|>").strip() == ANSWER
    assert found.thought
    assert found.ended


@pytest.mark.parametrize(
    "text",
    [
        "<think>They ask about the lamp. Wait",
        "<|channel|>analysis<|message|>They ask about the lamp. Wait",
        "analysisThey ask about the lamp. Wait",
        "[THINK]They ask",
    ],
)
def test_a_thought_without_an_end_leaves_no_answer(text: str) -> None:
    found = separate(text)
    assert found.answer == ""
    assert found.thought
    assert not found.ended
    assert final_reason(found.answer, "length", bool(found.thought)) == "reasoning"


def test_a_thought_in_mid_text_is_removed_too() -> None:
    found = separate("The lamp was lit.\n<think>\nWhat else?\n</think>\nIt burned oil.")
    assert found.answer == "The lamp was lit.\n\nIt burned oil."


@pytest.mark.parametrize(
    "text",
    [
        ANSWER,
        "The model wraps its thoughts in <think> and </think>.",
        "It ends with `</think>`, which the parser looks for.",
        "```xml\n<think>\nThis is a sample.\n</think>\n```\n",
        "```\n<|im_end|>\n<|im_start|>user\n```",
        "The price was <s>ten</s>",
        "analysis of the lamp follows.",
        "if a < b and c[0] > d: pass",
        '{"summary": "They say <think> a lot.", "entities": ["Corran Light"]}',
        "",
    ],
)
def test_texts_about_such_signs_stay_whole(text: str) -> None:
    assert separate(text) == (text, "", True)


@pytest.mark.parametrize(
    "token",
    [
        "<|im_end|>", "<|eot_id|>", "</s>", "<|end|>", "<end_of_turn>", "<|endoftext|>",
        "<|end_of_text|>", "<eos>", " <|im_end|>\n<|endoftext|>\n", "<|return|>",
        "<|END_RESPONSE|>",
        "<|im_end|>\n<|im_start|>user\nAnd the keeper?", "<end_of_turn>\n<start_of_turn>user\nMore",
    ],
)  # fmt: skip
def test_template_tokens_at_the_end_are_removed(token: str) -> None:
    assert separate(ANSWER + token).answer == ANSWER


def test_a_prompt_that_opens_a_thought_is_known() -> None:
    assert opened_thought("<|im_start|>assistant\n<think>\n") == "<think>\n"
    assert opened_thought("<|im_start|>assistant\n") == ""
    assert opened_thought("What does <think> mean?") == ""


def test_an_answer_keeps_its_reason() -> None:
    assert final_reason("Text", "length", True) == "length"
    assert final_reason(" ", "stop", True) == "reasoning"
    assert final_reason("", "stop", False) == "stop"
    assert final_reason("", "content_filter", True) == "content_filter"


def test_long_runs_of_blanks_take_no_time() -> None:
    text = "<" + " " * 300_000 + "x"
    assert separate(text).answer == text


def streamed(text: str, length: int, opened: str = "") -> tuple[StreamedAnswer, list[str]]:
    """A text that is written in pieces of so many characters, and what is shown of it."""
    stream = StreamedAnswer(opened)
    pieces = [text[start : start + length] for start in range(0, len(text), length)]
    return stream, [*map(stream.add, pieces), stream.end()]


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("length", [1, 3, 7, 1000])
def test_nothing_of_a_thought_is_shown_while_it_is_written(before: str, length: int) -> None:
    text = before + ANSWER + REST
    stream, shown = streamed(text, length)
    assert stream.thinks and stream.separated == separate(text)
    unforeseen = before.startswith("They") or "here.</think> Hm." in before  # no opening tag
    assert stream.withdrawn <= unforeseen
    said = "".join(shown).removeprefix("<|START_RESPONSE|>").strip()
    if stream.withdrawn:
        assert said.endswith(ANSWER + REST)
    else:
        assert said == ANSWER + REST


def test_an_answer_appears_while_it_is_written() -> None:
    _, shown = streamed(ANSWER, 4)
    assert len([each for each in shown if each]) > len(ANSWER) / 4 - 3
    stream, shown = streamed("Hm.\n</think>\n\nThe lamp.<|im_end|>", 2, "<think>\n")
    assert "".join(shown) == "The lamp." and stream.thinks and not stream.withdrawn
    stream, shown = streamed("Hm. Let me", 2, "<think>\n")
    assert "".join(shown) == "" and stream.thinks and stream.separated.thought == "Hm. Let me"


@given(
    st.lists(st.sampled_from(["a", "<", "[", "b> ", "``` ", "x]\n", "i < j", " "])),
    st.integers(1, 5),
)
def test_a_text_without_a_thought_is_shown_whole(parts: list[str], length: int) -> None:
    text = "".join(parts)
    stream, shown = streamed(text, length)
    assert "".join(shown) == text.rstrip() and not stream.thinks and not stream.withdrawn
