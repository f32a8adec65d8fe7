"""What an export holds; and, where the other packages are installed, that they choose as we do."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from steep.core.errors import UserError
from steep.documents.document import Document
from steep.evaluation.exported import closed_book_docs
from steep.evaluation.exports import (
    EXPORTS,
    ExportedQuestions,
    export_inspect,
    export_lm_eval,
    export_questions,
    records,
)
from steep.evaluation.parsers import parse
from steep.evaluation.prompts import LETTERS, STOP
from steep.evaluation.protocols import PROTOCOLS
from steep.evaluation.questions import Question
from steep.testing.tiny_corpus import DOCUMENTS, QUESTIONS

by_id = {each.id: Document(each.id, each.title, each.text) for each in DOCUMENTS}
TINY = [
    Question(each.id, each.document_id, each.kind, each.question, each.options, gold)
    for each, gold in zip(
        QUESTIONS, [(1,), (0, 1, 2, 3), (0,), (0, 2, 3), (1,), (1, 2, 3)], strict=True
    )
]
# Several right options, options of several lengths, a line separator, what YAML and Jinja read.
ODD = Question(
    "odd",
    "hask",
    "odd",
    "{{ 7 }} or 'no'\u2028?",
    ("naïve", "yes: no", "7", "{{ x }}", "#"),
    (1, 3),
)

TEXTS = [
    "Thinking.\nAnswer: B.",
    "Answer: B",
    "Answer: D, B.  \n\n",
    "Answer: BDA.",
    "Answer: BB.",
    "Answer: E.",
    "Answer: B.\nNo more.",
    "So Answer: B.",
    "answer: b.",
    "Answer: B, .",
    "",
]


@pytest.fixture(scope="module")
def question_set() -> ExportedQuestions:
    return export_questions("tiny_exam", [*TINY, ODD], by_id)


@pytest.mark.parametrize("text", TEXTS)
def test_what_leaves_reads_answers_as_our_strict_parser(text: str) -> None:
    ours = parse(text, 4, "strict").letters or closed_book_docs.INVALID
    assert closed_book_docs.read_letters(text, 4) == ours
    assert closed_book_docs.strict([[text]], [{"options": [*"abcd"]}]) == [[ours]]
    if importlib.util.find_spec("inspect_ai"):
        from steep.evaluation.exported import closed_book

        assert (closed_book.read_letters(text, 4) or closed_book_docs.INVALID) == ours


def test_letters_are_those_under_which_the_right_options_are_shown(
    question_set: ExportedQuestions,
) -> None:
    for row, question in zip(records(question_set), question_set.questions, strict=True):
        lines = row["choice_prompt"].split("### Choices")[-1].split("\n")
        shown = {line[0]: line[3:] for line in lines if line[1:3] == ". "}
        assert [*shown] == [*LETTERS[: len(question.options)]]
        assert {shown[letter] for letter in row["letters"]} == {
            question.options[gold] for gold in question.gold
        }
        assert row["prompt"].endswith("Answer:")


def test_the_harness_is_told_our_stop_string_and_length(
    question_set: ExportedQuestions, tmp_path: Path
) -> None:
    exported = export_lm_eval(tmp_path / "out", question_set)
    text = (exported.directory / "tiny_exam_generation.yaml").read_text()
    task = yaml.safe_load(text.replace("!function ", ""))
    assert task["generation_kwargs"]["until"] == [STOP]
    assert task["generation_kwargs"]["max_gen_toks"] == PROTOCOLS["default"].max_tokens
    assert task["custom_dataset"] == "tiny_exam_docs.load"
    written = "".join((exported.directory / name).read_text() for name in exported.files)
    assert "closed_book" not in written


def test_only_files_of_ours_are_written_over(
    question_set: ExportedQuestions, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for export in EXPORTS.values():
        export(out, question_set)
    (out / "notes.txt").write_text("mine")
    export_inspect(out, question_set)  # a file that is in nobody's way
    (out / "other.py").write_text("mine")
    with pytest.raises(UserError, match=r"(?s)has not written.*other\.py"):
        export_inspect(out, replace(question_set, name="other"))
    assert (out / "other.py").read_text() == "mine" and not (out / "other.jsonl").exists()
    with pytest.raises(UserError, match="a file"):
        export_inspect(out / "notes.txt", question_set)


def test_a_name_that_is_none_is_said() -> None:
    for name in ("a-b", "1a", "", "a b", "ü"):
        with pytest.raises(UserError, match="name of a task"):
            export_questions(name, TINY, by_id)


@pytest.fixture(scope="module", params=["BOS is not added", "BOS is added"])
def sharp_model(
    request: pytest.FixtureRequest, tiny_directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The tiny model with weights that make options differ, and its tokenizer, as they come."""
    import torch
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny_directory)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(6)
    tokenizer = AutoTokenizer.from_pretrained(tiny_directory)
    if request.param == "BOS is added":
        bos = (tokenizer.bos_token, tokenizer.bos_token_id)
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single=f"{bos[0]} $A", special_tokens=[bos]
        )
    path = tmp_path_factory.mktemp("sharp") / "model"
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    added = AutoTokenizer.from_pretrained(path).encode("a")[0] == tokenizer.bos_token_id
    assert added == (request.param == "BOS is added")
    return path


def agreed(answered: list[Any], rows: list[Any]) -> int:
    """How many choices and verdicts were compared; all must be the same."""
    compared = 0
    by_question = {each.question_id: each for each in answered}
    assert len(by_question) == len(rows)
    for row in rows:
        theirs = by_question[row.question_id]
        assert theirs.sum_logprob == pytest.approx(row.sum_logprob, abs=1e-3)
        for normalizer, chosen in theirs.chosen.items():
            assert chosen == row.likeliest(normalizer)[0]
            assert theirs.right[normalizer] == row.right(normalizer)
            compared += 1
    return compared


@pytest.mark.slow
def test_the_harness_chooses_as_we_do(
    question_set: ExportedQuestions,
    sharp_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("lm_eval")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "own_tasks_only"))
    from benchmarks.interoperability import harness_likelihoods, our_rows

    exported = export_lm_eval(tmp_path / "out", question_set)
    moved = exported.directory.rename(tmp_path / "moved")
    commands = tuple(each.replace(str(tmp_path / "out"), str(moved)) for each in exported.commands)
    answered = harness_likelihoods(replace(exported, commands=commands), sharp_model)
    rows = our_rows(sharp_model, question_set)
    assert agreed(answered, rows) == 3 * len(rows)
    assert 0 < sum(row.right("sum") for row in rows) < len(rows)


@pytest.mark.slow
def test_inspect_chooses_as_we_do(
    question_set: ExportedQuestions, sharp_model: Path, tmp_path: Path
) -> None:
    pytest.importorskip("inspect_ai")
    from benchmarks.interoperability import inspect_likelihoods, our_rows

    exported = export_inspect(tmp_path / "out", question_set)
    rows = our_rows(sharp_model, question_set)
    assert agreed(inspect_likelihoods(exported, sharp_model), rows) == 4 * len(rows)


@pytest.mark.filterwarnings("ignore")
def test_inspect_reads_and_counts_thought_processes(
    question_set: ExportedQuestions, tmp_path: Path
) -> None:
    inspect_ai = pytest.importorskip("inspect_ai")
    from inspect_ai.model import ModelOutput, ModelUsage, get_model

    exported = export_inspect(tmp_path / "out", question_set)
    said = [f"Thinking.\nAnswer: {row['letters']}.\n## Example 7" for row in records(question_set)]
    said[0], said[1] = "Answer: none", "Answer: Z."
    outputs = [ModelOutput.from_content("mockllm/model", text) for text in said]
    for output in outputs:
        output.usage = ModelUsage()  # or it would fetch a tokenizer to count tokens with
    (log,) = inspect_ai.eval(
        f"{exported.directory / 'tiny_exam.py'}@generation",
        model=get_model("mockllm/model", custom_outputs=outputs),
        max_samples=1,
        log_dir=str(tmp_path / "logs"),
        display="none",
    )
    assert log.status == "success", log.error
    scores = {each.id: each.scores["answer_line"] for each in log.samples}
    invalid = [id_ for id_, score in scores.items() if score.answer == "[invalid]"]
    assert sorted(invalid) == ["tiny-1", "tiny-2"]
    assert {id_ for id_, score in scores.items() if score.value == 0} == {*invalid}
    assert log.results.scores[0].metrics["accuracy"].value == pytest.approx(5 / 7)


@pytest.mark.slow
def test_the_harness_runs_the_thought_processes(
    question_set: ExportedQuestions, tiny_directory: Path, tmp_path: Path
) -> None:
    """Its dummy model says 'lol', which is no answer line."""
    pytest.importorskip("lm_eval")
    from benchmarks.interoperability import harness_answers

    exported = export_lm_eval(tmp_path / "out", question_set)
    command = exported.commands[1].replace("--model hf", "--model dummy")
    answered = harness_answers(replace(exported, commands=("", command)), tiny_directory)
    assert answered == {each.id: False for each in question_set.questions}


def test_data_is_json_a_line(question_set: ExportedQuestions, tmp_path: Path) -> None:
    exported = export_inspect(tmp_path / "out", question_set)
    lines = (exported.directory / "tiny_exam.jsonl").read_text().split("\n")
    assert [json.loads(line) for line in lines if line] == records(question_set)
