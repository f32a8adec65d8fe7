from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from steep.core.errors import UserError
from steep.llm.embedded_weights import installed_weights
from steep.llm.model_names import embedded_directory
from steep.tokens.chat import BadChat, render, write_chat_shard
from steep.tokens.mixture import IGNORED, Mixture
from steep.tokens.order import Stream
from steep.tokens.shard import open_shard

LossOn = Literal["all", "assistant"]
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Who founded it?"},
    {"role": "assistant", "content": " Ada \N{GRINNING FACE} did.\n\nIn 1901. "},
    {"role": "user", "content": "Sure?"},
    {"role": "assistant", "content": "Yes."},
]
NO_ASSISTANT = [{"role": "user", "content": "Anyone?"}]


@pytest.fixture(scope="module")
def tokenizer(tiny_directory: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_directory)


def chat_file(path: Path, *lines: Any) -> Path:
    file = path / "chats.jsonl"
    rows = [line if isinstance(line, str) else json.dumps({"messages": line}) for line in lines]
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return file


def learned(directory: Path, tokenizer: Any) -> list[str]:
    """The stretches of text that the mask of a shard lets be learned."""
    opened = open_shard(directory)
    assert opened.loss_mask is not None
    edges = np.flatnonzero(np.diff(np.concatenate([[0], opened.loss_mask, [0]])))
    spans = edges.reshape(-1, 2)
    return [tokenizer.decode(opened.ids[start:stop].tolist()) for start, stop in spans]


def test_all_of_a_chat_is_learned_as_the_paper_does(tmp_path: Path, tokenizer: Any) -> None:
    file = chat_file(tmp_path, TALK, NO_ASSISTANT)
    manifest, skipped = write_chat_shard(tmp_path / "shard", file, tokenizer, "all")
    opened = open_shard(tmp_path / "shard")
    assert (manifest.texts, manifest.learned_tokens, skipped) == (2, None, [])
    assert opened.loss_mask is None
    expected = tokenizer.apply_chat_template(TALK, tokenize=True, return_dict=False)
    assert opened.ids[: opened.ends[0]].tolist() == expected, "no BOS or EOS beside the template's"


def test_only_the_assistant_is_learned_with_the_end_of_its_turn(
    tmp_path: Path, tokenizer: Any
) -> None:
    file = chat_file(tmp_path, TALK, TALK[1:3])
    manifest, skipped = write_chat_shard(tmp_path / "shard", file, tokenizer, "assistant")
    first = " Ada \N{GRINNING FACE} did.\n\nIn 1901. <|im_end|>"
    assert learned(tmp_path / "shard", tokenizer) == [first, "Yes.<|im_end|>", first]
    assert skipped == []
    opened = open_shard(tmp_path / "shard")
    assert opened.loss_mask is not None
    assert manifest.learned_tokens == opened.loss_mask.sum() < manifest.tokens
    whole = write_chat_shard(tmp_path / "all", file, tokenizer, "all").manifest
    assert whole.tokens == manifest.tokens, "the mask changes no token"
    assert whole.sha256 != manifest.sha256


@pytest.mark.parametrize("loss_on", ["all", "assistant"])
def test_special_tokens_that_a_message_spells_are_text(
    tmp_path: Path, tokenizer: Any, loss_on: LossOn
) -> None:
    said = ["Is <|im_end|>\n<|im_start|>system a turn?", "No, <|im_end|> is text <|pad|>."]
    talk = [{"role": r, "content": c} for r, c in zip(("user", "assistant"), said, strict=True)]
    manifest, skipped = write_chat_shard(
        tmp_path / "s", chat_file(tmp_path, TALK, talk, TALK), tokenizer, loss_on
    )
    shard = open_shard(tmp_path / "s")
    ids = shard.ids[shard.ends[0] : shard.ends[1]].tolist()
    assert (manifest.texts, skipped) == (3, [])
    assert tokenizer.decode(ids) == tokenizer.apply_chat_template(talk, tokenize=False)
    assert ids.count(tokenizer.bos_token_id) == ids.count(tokenizer.eos_token_id) == 2
    assert tokenizer.pad_token_id not in ids
    if loss_on == "assistant":
        assert f"{said[1]}<|im_end|>" in learned(tmp_path / "s", tokenizer)


def test_a_mask_that_lost_its_end_is_refused(tmp_path: Path, tokenizer: Any) -> None:
    file, directory = chat_file(tmp_path, TALK), tmp_path / "shard"
    write_chat_shard(directory, file, tokenizer, "assistant")
    os.truncate(directory / "loss_mask.bin", 3)
    with pytest.raises(UserError, match="damaged"):
        open_shard(directory)
    write_chat_shard(directory, file, tokenizer, "all")
    assert open_shard(directory).loss_mask is None, "what lies there from before says nothing"


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
turns = st.lists(st.tuples(words, words), min_size=1, max_size=3)


@given(turns)
def test_masks_hold_whatever_is_said(
    tmp_path_factory: pytest.TempPathFactory, tokenizer: Any, turns: list[tuple[str, str]]
) -> None:
    messages = [
        {"role": role, "content": content}
        for turn in turns
        for role, content in zip(("user", "assistant"), turn, strict=True)
    ]
    directory = tmp_path_factory.mktemp("chat")
    write_chat_shard(directory / "shard", chat_file(directory, messages), tokenizer, "assistant")
    assert learned(directory / "shard", tokenizer) == [f"{said}<|im_end|>" for _, said in turns]


def test_labels_are_what_the_assistant_said(tmp_path: Path, tokenizer: Any) -> None:
    write_chat_shard(tmp_path / "s", chat_file(tmp_path, TALK), tokenizer, "assistant")
    shard = open_shard(tmp_path / "s")
    labels = Mixture(Stream(shard, 0), (), shard.manifest.tokens).rows(0, 1).labels_BT[0]
    said = tokenizer.decode(labels[labels != IGNORED].tolist())
    assert said == " Ada \N{GRINNING FACE} did.\n\nIn 1901. <|im_end|>Yes.<|im_end|>"


@pytest.mark.parametrize("loss_on", ["all", "assistant"])
def test_bad_lines_are_counted_with_their_reason(
    tmp_path: Path, tokenizer: Any, loss_on: LossOn
) -> None:
    bad = {
        "{half": "expected a JSON object",
        "[1]": "expected a list of messages as 'messages', found None",
        '{"messages": []}': "found []",
        '{"messages": [{"role": "user"}]}': "expected a text as 'content'",
        '{"messages": ["hello"]}': "expected a text as 'role'",
        '{"messages": [{"role": "assistant", "content": "\\ud800"}]}': "surrogates not allowed",
        "[" * 100_000: "expected a JSON object",
    }
    file = chat_file(tmp_path, TALK, "", *bad, TALK)
    manifest, skipped = write_chat_shard(tmp_path / "shard", file, tokenizer, loss_on)
    assert manifest.texts == 2
    assert [each.source for each in skipped] == [f"{file}:{n}" for n in range(3, 10)]
    for each, reason in zip(skipped, bad.values(), strict=True):
        assert reason in each.reason


def test_a_chat_without_an_assistant_has_nothing_to_learn(tmp_path: Path, tokenizer: Any) -> None:
    file = chat_file(tmp_path, NO_ASSISTANT, TALK)
    manifest, (skipped,) = write_chat_shard(tmp_path / "shard", file, tokenizer, "assistant")
    assert manifest.texts == 1
    assert "expected a message of the role 'assistant'" in skipped.reason


def test_a_file_without_a_usable_chat_is_an_error(tmp_path: Path, tokenizer: Any) -> None:
    with pytest.raises(UserError, match="no chat of this file can be used") as caught:
        write_chat_shard(tmp_path / "s", chat_file(tmp_path, "{", "{"), tokenizer, "all")
    assert "2 skipped lines; the first: expected a JSON object" in str(caught.value)
    with pytest.raises(UserError, match="There is no file of chats"):
        write_chat_shard(tmp_path / "s", tmp_path / "none.jsonl", tokenizer, "all")
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(UserError, match="nothing to train on"):
        write_chat_shard(tmp_path / "s", tmp_path / "empty.jsonl", tokenizer, "all")


def test_tokenizers_that_cannot_chat_are_refused(tmp_path: Path, tiny_directory: Path) -> None:
    silent = AutoTokenizer.from_pretrained(tiny_directory)
    silent.chat_template = None
    with pytest.raises(UserError, match="has no chat template"):
        write_chat_shard(tmp_path / "s", chat_file(tmp_path, TALK), silent, "all")

    class Slow:
        chat_template = "there is one"

    with pytest.raises(UserError, match="a fast tokenizer"):
        write_chat_shard(tmp_path / "s", chat_file(tmp_path, TALK), Slow(), "assistant")


LAST_IS_OTHER = (
    "{% for m in messages %}{{ m['role'] + ': ' + m['content'] }}"
    "{{ '<|im_end|>' if loop.last else ' / ' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)
REFUSES_SYSTEM = (
    "{% for m in messages %}"
    "{% if m['role'] == 'system' %}{{ raise_exception('no system here') }}{% endif %}"
    "{{ m['role'] + ': ' + m['content'] + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)


@pytest.mark.parametrize(
    ("template", "messages", "reason"),
    [
        (
            LAST_IS_OTHER,
            TALK,
            "renders message 3 differently with and without the messages after it",
        ),
        (REFUSES_SYSTEM, TALK, "the chat template rejects it: no system here"),
        ("{{ messages[5] + 1 }}", TALK, "the chat template rejects it"),
    ],
)
def test_templates_that_do_not_fit_are_reasons(
    tiny_directory: Path, template: str, messages: list[dict[str, str]], reason: str
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_directory)
    tokenizer.chat_template = template
    with pytest.raises(BadChat, match=reason):
        render(messages, tokenizer)


def test_without_a_special_token_the_line_break_ends_the_turn(
    tmp_path: Path, tiny_directory: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_directory)
    tokenizer.chat_template = REFUSES_SYSTEM
    file = chat_file(tmp_path, TALK[1:])
    write_chat_shard(tmp_path / "s", file, tokenizer, "assistant")
    first = " Ada \N{GRINNING FACE} did.\n\nIn 1901. \n"
    assert learned(tmp_path / "s", tokenizer) == [first, "Yes.\n"]


@pytest.mark.model
@pytest.mark.skipif(installed_weights() is None, reason="the embedded model is not installed")
def test_the_embedded_model_learns_what_its_assistant_says(tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(embedded_directory())
    file = chat_file(tmp_path, TALK, TALK[1:3], TALK[2:])
    manifest, (skipped,) = write_chat_shard(tmp_path / "s", file, tokenizer, "assistant")
    first = " Ada \N{GRINNING FACE} did.\n\nIn 1901. <|im_end|>"
    assert learned(tmp_path / "s", tokenizer) == [first, "Yes.<|im_end|>", first]
    assert skipped.source.endswith(":3") and "before the assistant's first" in skipped.reason
    shard = open_shard(tmp_path / "s")
    expected = tokenizer.apply_chat_template(TALK, tokenize=True, return_dict=False)
    assert shard.ids[: shard.ends[0]].tolist() == expected
    assert manifest.dtype == "uint16"
