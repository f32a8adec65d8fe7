"""A method is one file: once it is registered it is asked, scored, printed and on the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from steep.cli.score_lines import print_scores
from steep.cli.status_lines import of_question
from steep.config import Config
from steep.core.artifacts import Artifact, Identity, Project, build
from steep.core.errors import UserError
from steep.core.files import write_json, write_rows
from steep.evaluation.compare import Grade, compare
from steep.evaluation.eval_models import EvalModel
from steep.evaluation.methods.common import ROWS_NAME, Method, Session, rows_by_model
from steep.evaluation.methods.registry import METHODS, ask, check_methods, results_of, scores_of
from steep.evaluation.results import MetricsResult, Scores
from steep.evaluation.setup import EvaluationSetup
from steep.evaluation.study_results import read_scores, write_scores
from steep.report.render import render_report
from steep.stages.evaluate import setup_of

STAGE = "spelling"
CAVEAT = "Spelling says nothing about meaning."
TYPOS = {"base": 4, "raw": 1}


@dataclass(frozen=True)
class SpellingRow:
    """The share of the words of an answer that are spelled right."""

    question_id: str
    document_id: str
    share: float


def ask_spelling(session: Session, eval_model: EvalModel) -> Iterator[Artifact]:
    def make(directory: Path) -> dict[str, Any]:
        typos = TYPOS[eval_model.name]
        rows = [SpellingRow(f"q{n}", f"d{n % 3}", float(n >= typos)) for n in range(8)]
        write_rows(directory / ROWS_NAME, rows, SpellingRow)
        return {"model": eval_model.name}

    identity = Identity(STAGE, 1, {"arm": eval_model.name}, {})
    yield build(eval_model.setup.project, identity, make)


def spelling_result(
    artifacts: Sequence[Artifact], _: Sequence[Artifact], setup: EvaluationSetup
) -> MetricsResult:
    grades = {
        name: [Grade(row.question_id, row.document_id, "any", row.share) for row in rows]
        for name, rows in rows_by_model(artifacts, SpellingRow).items()
    }
    compared = compare(grades, setup.planned_comparisons(grades))
    return MetricsResult(title="spelling", metrics={"words right": compared}, caveat=CAVEAT)


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EvaluationSetup:
    monkeypatch.setitem(METHODS, STAGE, Method(STAGE, ask_spelling, spelling_result))
    sections = {
        "documents": {"path": "documents"},
        "evaluate": {"methods": [STAGE]},
        "train": {"arms": {"raw": ["documents"]}},
    }
    return setup_of(Config.model_validate(sections), Project(tmp_path))


@pytest.fixture
def scores(setup: EvaluationSetup, tmp_path: Path) -> Scores:
    session = Session(None, None, None)
    rows = [row for name in TYPOS for row in ask(session, EvalModel(name, setup))]
    write_scores(tmp_path / "scores.json", scores_of(rows, setup, ()))
    return read_scores(tmp_path / "scores.json")


def test_its_result_is_in_the_scores(scores: Scores) -> None:
    (name,) = scores.results
    result = scores.results[name]
    assert name == STAGE and isinstance(result, MetricsResult)
    models = result.metrics["words right"].models
    assert [(each.name, each.accuracy) for each in models] == [("base", 4 / 8), ("raw", 7 / 8)]
    assert result.metrics["words right"].pairs[0].planned


def test_its_result_is_printed(scores: Scores, capsys: pytest.CaptureFixture[str]) -> None:
    print_scores(scores)
    printed = capsys.readouterr().out
    assert "spelling, words right:" in printed and CAVEAT in printed
    assert "(n = 8)" in printed.replace("\u00a0", " ")
    lines = [line.split() for line in printed.splitlines()]
    assert any(line[:2] == ["raw", "87.5%"] for line in lines)
    assert any(line[:3] == ["raw", "\N{MINUS SIGN}", "base"] and "+37.5" in line for line in lines)


def test_its_result_is_on_the_page(scores: Scores, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "demo"
    artifact = tmp_path / "evaluate-1"
    write_scores(artifact / "scores.json", scores)
    write_json(artifact / "manifest.json", {})
    write_json(run / "run.json", {"name": "demo", "artifacts": {"evaluate": "evaluate-1"}})
    (run / "config.yaml").write_text("{}")
    page = render_report(tmp_path, run).read_text(encoding="utf-8")
    assert "spelling, words right" in page and "87.5%" in page and CAVEAT in page
    assert "It measured spelling" in page


def test_its_rows_of_a_question_are_shown(setup: EvaluationSetup) -> None:
    session = Session(None, None, None)
    rows = [row for name in TYPOS for row in ask(session, EvalModel(name, setup))]
    found = results_of(setup, rows, "q1")
    assert [each["row"]["share"] for each in found["results"]] == [0.0, 1.0]
    first, *_, last = of_question(found)
    assert first == "q1" and last == "raw, spelling: question_id q1, document_id d1, share 1.0"
    with pytest.raises(UserError, match="no row of the question 'q9'"):
        results_of(setup, rows, "q9")


def naming(setup: EvaluationSetup, *methods: str) -> EvaluationSetup:
    return replace(setup, evaluate=setup.evaluate.model_copy(update={"methods": methods}))


def test_a_method_that_is_not_named_is_not_asked(setup: EvaluationSetup) -> None:
    unnamed = naming(setup, "likelihood")
    assert not [*ask(Session(None, None, None), EvalModel("base", unnamed))]


def test_an_unknown_method_is_an_error(setup: EvaluationSetup) -> None:
    check_methods(setup)
    with pytest.raises(UserError, match="There is no method 'speling'") as caught:
        check_methods(naming(setup, "speling"))
    assert "did you mean 'spelling'?" in str(caught.value)
