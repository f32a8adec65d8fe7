"""Tasks of lm-evaluation-harness on the tiny model, and two models on the same questions."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from steep.core.errors import UserError
from steep.core.files import read_rows, write_rows
from steep.documents.document import Document
from steep.evaluation.exports import export_lm_eval, export_questions
from steep.evaluation.methods.general_text import GeneralText, text_losses
from steep.evaluation.methods.harness_tasks import (
    TaskRow,
    TaskRun,
    compare_tasks,
    match_names,
    run_tasks,
)
from steep.evaluation.questions import Question
from steep.testing.tiny_corpus import DOCUMENTS, QUESTIONS
from steep.testing.tiny_model import CONTEXT_TOKENS

needs_harness = pytest.mark.skipif(
    importlib.util.find_spec("lm_eval") is None, reason="lm-eval is not installed"
)
# The harness and its packages warn at will.
pytestmark = pytest.mark.filterwarnings("ignore")


def rows_of(values: list[float], metric: str = "acc", weight: float = 1.0) -> list[TaskRow]:
    return [TaskRow("t", str(n), metric, value, weight) for n, value in enumerate(values)]


def test_a_name_a_pattern_and_a_mistake() -> None:
    known = ["arc_easy", "arc_challenge", "mmlu_law", "mmlu_art"]
    assert match_names(["mmlu_*", "arc_easy", "mmlu_law"], known) == [
        *("mmlu_law", "mmlu_art", "arc_easy")
    ]
    with pytest.raises(UserError, match=r"(?s)no task 'arc_esay'.*arc_easy"):
        match_names(["arc_esay"], known)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'steep\[lm-eval\]'"):
        run_tasks("model", ["arc_easy"])


def test_models_are_compared_on_each_question(tmp_path: Path) -> None:
    before = rows_of([1.0] * 30 + [0.0] * 20)
    after = rows_of([1.0] * 20 + [0.0] * 30)
    (found,) = compare_tasks(after, before, "raw", "base")
    assert (found.before, found.after) == (0.6, 0.4)
    assert found.difference.mean == pytest.approx(-0.2)
    assert found.difference.low < -0.2 < found.difference.high < 0  # unpaired it would hold 0
    assert found.p_mcnemar == pytest.approx(2 * 0.5**10)
    write_rows(tmp_path / "rows.parquet", after, TaskRow)
    assert read_rows(tmp_path / "rows.parquet", TaskRow) == after


def test_ratios_are_of_sums_and_have_no_rights_and_wrongs() -> None:
    logprobs = [-100.0 - n for n in range(20)]
    before = rows_of(logprobs, "bits_per_byte", 50.0)
    after = rows_of([each - 5 for each in logprobs], "bits_per_byte", 50.0)
    (found,) = compare_tasks(after, before, "raw", "base")
    assert found.difference.mean == pytest.approx(-0.1)
    assert found.difference.low == pytest.approx(-0.1) == found.difference.high
    assert found.p_mcnemar is None


def test_other_questions_are_not_compared() -> None:
    with pytest.raises(ValueError, match="other questions"):
        compare_tasks(rows_of([1.0, 0.0]), rows_of([1.0]), "raw", "base")
    with pytest.raises(ValueError, match="only one of the models"):
        compare_tasks(rows_of([1.0]), rows_of([1.0], "acc_norm"), "raw", "base")


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our export, a task of perplexity, one of F1 and one without data."""
    folder = tmp_path_factory.mktemp("tasks")
    documents = {each.id: Document(each.id, each.title, each.text) for each in DOCUMENTS}
    questions = [
        Question(each.id, each.document_id, each.kind, each.question, each.options, (each.gold,))
        for each in QUESTIONS
    ]
    export_lm_eval(folder, export_questions("tiny_exam", questions, documents))
    texts = [{"text": each.text, "gold": n % 2} for n, each in enumerate(DOCUMENTS)]
    (folder / "texts.data").write_text("".join(json.dumps(text) + "\n" for text in texts))
    task = {
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(folder / "texts.data")}},
        "test_split": "test",
    }
    more: dict[str, dict[str, object]] = {
        "tiny_loss": {
            "output_type": "loglikelihood_rolling",
            "doc_to_text": "",
            "doc_to_target": "{{text}}",
            "metric_list": [{"metric": "bits_per_byte"}],
        },
        "tiny_class": {
            "output_type": "multiple_choice",
            "doc_to_text": "{{text}}",
            "doc_to_choice": ["no", "yes"],
            "doc_to_target": "gold",
            "metric_list": [{"metric": "acc"}, {"metric": "mcc"}],
        },
    }
    more["tiny_lost"] = more["tiny_class"] | {"dataset_kwargs": {"data_files": {"test": "no.data"}}}
    for name, fields in more.items():
        (folder / f"{name}.yaml").write_text(json.dumps({"task": name, **task, **fields}))
    return folder


@pytest.fixture(scope="module")
def ran(tasks: Path, tiny_directory: Path) -> TaskRun:
    names = ["tiny_exam", "tiny_loss", "tiny_class"]
    return run_tasks(tiny_directory, names, include_path=tasks)


@needs_harness
def test_scores_are_the_means_of_their_rows(ran: TaskRun) -> None:
    scores = {(score.task, score.metric): score for score in ran.scores}
    means: dict[tuple[str, str], list[float]] = {}
    for row in ran.rows:
        if row.metric != "bits_per_byte":
            means.setdefault((row.task, row.metric), []).append(row.value)
    assert {*means} == {
        *(("tiny_exam", metric) for metric in ("acc", "acc_norm", "acc_bytes")),
        ("tiny_class", "acc"),
    }
    for key, values in means.items():
        assert scores[key].value == pytest.approx(sum(values) / len(values))
        assert scores[key].n == len(values)
    assert scores["tiny_exam", "acc"].stderr is not None


@needs_harness
def test_a_loss_keeps_its_weights_and_what_has_no_rows_is_named(ran: TaskRun) -> None:
    import math

    losses = [row for row in ran.rows if row.metric == "bits_per_byte"]
    assert [row.weight for row in losses] == [len(each.text.encode()) for each in DOCUMENTS]
    (score,) = (score for score in ran.scores if score.metric == "bits_per_byte")
    total = sum(row.value for row in losses) / sum(row.weight for row in losses)
    assert score.value == pytest.approx(-total / math.log(2))
    assert ran.without_rows == ["tiny_class: mcc"]
    found = compare_tasks(ran.rows, ran.rows, "same", "same")
    assert all(each.difference.mean == 0 for each in found)


@needs_harness
def test_our_loss_on_general_text_is_the_harnesss(ran: TaskRun, tiny_directory: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    texts = [GeneralText(each.id, each.text) for each in DOCUMENTS]
    model = AutoModelForCausalLM.from_pretrained(tiny_directory)
    tokenizer = AutoTokenizer.from_pretrained(tiny_directory)
    ours = text_losses(model, tokenizer, texts, CONTEXT_TOKENS, 2048)
    theirs = [-row.value for row in ran.rows if row.metric == "bits_per_byte"]
    assert [each.nats for each in ours] == pytest.approx(theirs, rel=1e-5)


@needs_harness
def test_a_limit_and_what_cannot_be_run(tasks: Path, tiny_directory: Path, tmp_path: Path) -> None:
    found = run_tasks(tiny_directory, ["tiny_exam"], limit=2, include_path=tasks)
    assert {row.question_id for row in found.rows} == {"0", "1"}
    assert {score.n for score in found.scores} == {2}
    with pytest.raises(UserError, match="data of a task is not available"):
        run_tasks(tiny_directory, ["tiny_lost"], include_path=tasks)
    with pytest.raises(UserError, match="Cannot load the model"):
        run_tasks(tmp_path, ["tiny_exam"], include_path=tasks)


@needs_harness
@pytest.mark.slow
def test_own_tasks_and_those_of_the_harness_are_known_together(
    tasks: Path, tiny_directory: Path
) -> None:
    with pytest.raises(UserError, match=r"(?s)no task 'tiny_exams'.*tiny_exam"):
        run_tasks(tiny_directory, ["tiny_exams"], include_path=tasks)
