from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asked import BARE, DOCUMENT

from steep.core.errors import UserError
from steep.core.files import read_rows, write_rows
from steep.documents.split import split_document, whole_documents
from steep.evaluation.engines import Decoding
from steep.evaluation.hf_engine import HuggingFaceEngine
from steep.evaluation.summaries.judging import judge_prompt, split_prompt
from steep.evaluation.summaries.texts import (
    MAX_TOKENS,
    ClaimRow,
    PassageRow,
    Reference,
    SummaryRow,
    human_summaries,
    in_chat_form,
    read_references,
    summary_prompt,
    write_summaries,
)

GOLDEN = Path(__file__).parent / "golden"


def written(path: Path, *records: Any) -> Path:
    lines = [each if isinstance(each, str) else json.dumps(each) for each in records]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_what_cannot_be_used_is_named_with_its_line_and_reason(tmp_path: Path) -> None:
    path = written(
        tmp_path / "s.jsonl",
        {"id": "quillon", "title": "x", "text": "y", "summaries": ["One.\r\nTwo.", "Three."]},
        {"document_id": "quillon", "summaries": ["Again."]},
        {"id": "elsewhere", "summaries": ["?"]},
        {"id": "quillon", "summaries": []},
        {"id": "quillon", "summaries": ["fine", " "]},
        {"summaries": ["no id"]},
        "prose",
    )
    references, skipped = read_references(path, [DOCUMENT])
    assert references == (Reference("quillon", ("One.\nTwo.", "Three.")),)
    assert sorted((row.source, row.reason[:40]) for row in skipped) == [
        ("s.jsonl:2", "an earlier line has summaries of 'quillo"),
        ("s.jsonl:3", "its document 'elsewhere' is not in the c"),
        ("s.jsonl:4", "expected a list of texts as 'summaries',"),
        ("s.jsonl:5", "expected a text as 'summaries', found ' "),
        ("s.jsonl:6", "expected the key 'id', found summaries"),
        ("s.jsonl:7", "expected a JSON object, found 'prose': E"),
    ]


def test_a_file_without_one_usable_summary_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path / "s.jsonl", *({"id": f"d{n}", "summaries": ["x"]} for n in range(5)))
    with pytest.raises(UserError, match=r"(?s)d0.*d2.*and 2 more"):
        read_references(path, [DOCUMENT])
    with pytest.raises(UserError, match="an empty file"):
        read_references(written(tmp_path / "e.jsonl"), [DOCUMENT])
    with pytest.raises(UserError, match="Cannot read the human summaries"):
        read_references(tmp_path / "none.jsonl", [DOCUMENT])
    (tmp_path / "l.jsonl").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(UserError, match="not UTF-8"):
        read_references(tmp_path / "l.jsonl", [DOCUMENT])


def test_a_split_document_is_known_by_its_whole_and_put_together_again(tmp_path: Path) -> None:
    text = " ".join(f"Sentence number {n} is here." for n in range(40))
    parts = split_document(replace(DOCUMENT, text=text), 60)
    assert len(parts) > 2
    whole = whole_documents(parts)["quillon"]
    assert whole.text.split() == text.split()
    assert (whole.id, whole.whole_id, whole.title) == ("quillon", "quillon", DOCUMENT.title)
    path = written(tmp_path / "s.jsonl", {"id": "quillon", "summaries": ["One."]})
    assert len(read_references(path, parts).references) == 1


def all_prompts() -> str:
    claims = ["The ferry is pulled by a rope.", "Edda owns it.", "It is red.", "It sank."]
    prompts = {
        f"{kind}, {form}, {named}": summary_prompt(document, kind, form == "request")
        for kind in MAX_TOKENS
        for form in ("request", "text to continue")
        for named, document in (("named in full", DOCUMENT), ("title alone", BARE))
    }
    prompts["split"] = split_prompt("She sold it.")
    prompts["split with context"] = split_prompt("She sold it.", "Edda owned the ferry.")
    prompts["judge"] = judge_prompt(DOCUMENT, claims)
    prompts["judge, one claim"] = judge_prompt(BARE, claims[:1])
    return "".join(f"===== {name}\n{prompt}\n" for name, prompt in prompts.items())


def test_prompts_are_the_golden_ones() -> None:
    assert all_prompts() == (GOLDEN / "summaries.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", MAX_TOKENS)
@pytest.mark.parametrize("chat", [True, False])
def test_writers_see_the_name_and_never_the_text(kind: Any, chat: bool) -> None:
    prompt = summary_prompt(DOCUMENT, kind, chat)
    assert '"The Quillon Ferry" by Larry M. Harris (1961)' in prompt
    assert "steel rope" not in prompt and prompt == prompt.rstrip()


@pytest.fixture(scope="module")
def loaded(tiny_directory: Path) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny_directory)
    return model.eval(), AutoTokenizer.from_pretrained(tiny_directory)


def test_an_instruct_model_gets_its_own_format_with_one_bos(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded
    (prompt,) = in_chat_form(tokenizer, ["Hello?"])
    sent = HuggingFaceEngine(model, tokenizer)._encoded(prompt, 1)
    messages = [{"role": "user", "content": "Hello?"}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert sent == tokenizer(text, add_special_tokens=False).input_ids
    # This format opens each message with the BOS token, so two are right here: user, assistant.
    assert sent.count(tokenizer.bos_token_id) == 2
    (prompt,) = in_chat_form(tokenizer, ["What is <|im_start|>system<|im_end|>?"])
    sent = HuggingFaceEngine(model, tokenizer)._encoded(prompt, 1)
    assert sent.count(tokenizer.bos_token_id) == 2 and sent.count(tokenizer.eos_token_id) == 1
    assert "What is <|im_start|>system<|im_end|>?" in tokenizer.decode(sent)


def test_a_model_without_chat_format_is_said(loaded: tuple[Any, Any]) -> None:
    from copy import copy

    base = copy(loaded[1])
    base.chat_template = None
    with pytest.raises(UserError, match="no chat template"):
        in_chat_form(base, ["Hello?"])


def test_every_text_becomes_a_row_that_can_be_written_again(loaded: tuple[Any, Any]) -> None:
    engine = HuggingFaceEngine(*loaded)
    prompts = [summary_prompt(DOCUMENT, "short", chat=False), "x"]
    decoding = Decoding(samples=2, temperature=1.0, max_tokens=9, seed=3)
    rows = write_summaries(engine, "tiny", ["quillon", "x"], "short", prompts, decoding)
    assert [(row.document_id, row.number) for row in rows] == [
        ("quillon", 0), ("quillon", 1), ("x", 0), ("x", 1),
    ]  # fmt: skip
    assert len({row.seed for row in rows}) == 4 and len({row.text for row in rows}) > 1
    assert {row.prompt for row in rows} == set(prompts)
    assert rows == write_summaries(engine, "tiny", ["quillon", "x"], "short", prompts, decoding)


def test_human_summaries_are_rows_like_others() -> None:
    first, second = human_summaries([Reference("quillon", ("One.", "Two."))])
    assert (first.writer, first.kind, first.text, second.number) == ("human", "human", "One.", 1)


def test_rows_survive_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    summary = SummaryRow("m", "d", "long", 1, "p", "t\n\N{SNOWMAN}", "length", 2**62)
    write_rows(path, [summary], SummaryRow)
    assert read_rows(path, SummaryRow) == [summary]
    passages = [
        PassageRow("m", "d", "long", 1, 0, "t", "j", ("a", "b"), None, "[...]", 7),
        PassageRow("m", "d", "long", 1, 1, "t", "j", (), "prose", "Sure!", 8),
    ]
    write_rows(path, passages, PassageRow)
    assert read_rows(path, PassageRow) == passages
    claims = [
        ClaimRow("m", "d", "long", 1, 0, "a", 3, "j", true, salient, None, 1, "h", "{}", 9)
        for true, salient in ((True, False), (True, None), (False, None), (None, None))
    ]
    write_rows(path, claims, ClaimRow)
    assert read_rows(path, ClaimRow) == claims
    write_rows(path, [], ClaimRow)
    assert read_rows(path, ClaimRow) == []
