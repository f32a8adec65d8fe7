"""Results as they are written to and read from `scores.json`."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from steep.core.errors import UserError
from steep.core.files import read_json, write_json
from steep.evaluation.compare import Grade
from steep.evaluation.engines import OptionScores
from steep.evaluation.judged_results import (
    Agreement,
    LabeledDisagreement,
    ShortAnswerVerdict,
    VerdictAgreement,
)
from steep.evaluation.methods.answers import answers_result
from steep.evaluation.methods.judged_answers import VerdictRow, judged_answers_result
from steep.evaluation.methods.likelihood import likelihood_result
from steep.evaluation.methods.open_book_result import GridPoint, Retrieved, open_book_result
from steep.evaluation.methods.registry import METHODS
from steep.evaluation.methods.short_answers import short_answers_result
from steep.evaluation.protocols import PROTOCOLS
from steep.evaluation.questions import Question
from steep.evaluation.results import Interval, MethodResult, Scores, SkippedQuestion
from steep.evaluation.rows import AnswerRow, make_rows
from steep.evaluation.study_results import (
    FaithfulnessResult,
    GeneralTextResult,
    GridVariant,
    JudgeAgreement,
    LossDifference,
    ModelLoss,
    ModelTasks,
    RecipeFaithfulness,
    Relative,
    SetDifference,
    SetScores,
    SummariesResult,
    TaskDifference,
    TaskScore,
    TasksResult,
    TextSet,
    UnsupportedClaim,
    read_scores,
    write_scores,
)
from steep.retrieval.measures import RetrievalQuality, RetrievalRow

NUMBERS = range(8)
QUESTIONS = [Question(f"q{n}", f"d{n % 3}", "near", "?", ("a", "bc"), (n % 2,)) for n in NUMBERS]
OPEN = Interval(1.5, -math.inf, math.inf, 3, 1)  # has no bounds


def option_rows(right: int) -> list[OptionScores]:
    return [
        OptionScores((-1.0, -2.0) if (n % 2 == 0) == (n < right) else (-2.0, -1.0), (1, 1), (1, 2),
                     (1, 2))
        for n in NUMBERS
    ]  # fmt: skip


def answer_rows(right: int, short: bool = False) -> list[AnswerRow]:
    return [
        AnswerRow("m", f"q{n}", f"d{n % 3}", "near", 0, 0, "?",
                  "Nile" if short else f"Answer: {'AB'[(n + (n >= right)) % 2]}.", "stop",
                  () if short else ("a", "bc"), () if short else (0, 1),
                  () if short else (n % 2,), ("Nile",) if short else (), None)
        for n in NUMBERS
    ]  # fmt: skip


def variant(size: int) -> GridVariant:
    return GridVariant(
        chunk_characters=size, shown=1, order="best_last", temperature=None, split="all"
    )


def open_book() -> MethodResult:
    grades = tuple(Grade(f"q{n}", f"d{n % 3}", "near", float(n < 5)) for n in NUMBERS)
    ranks = RetrievalQuality((1,), 1)
    rows = [RetrievalRow(f"q{n}", f"d{n % 3}", ranks, ranks if n else None) for n in NUMBERS]
    cells = [GridPoint("base", variant(256), grades, chance=0.5)]
    cells.append(GridPoint("base", variant(512), (), "too long"))
    retrieved = {256: Retrieved({"base": rows}, 9, 1)}
    return open_book_result("likelihood", cells, retrieved, {"base": grades})


def summaries() -> MethodResult:
    agreement = Agreement(3, OPEN, None, {"yes yes": 3})
    short, human = TextSet("base", "short"), TextSet("human", "human")
    counts = {"claims": OPEN, "false": None}
    scores = SetScores(
        short, 1, 1, {"empty": 1}, 0, 0, 2, 0, {}, {}, counts, OPEN, 0,
        {"false": Relative(None, 1, OPEN)},
    )  # fmt: skip
    return SummariesResult(
        judge=(JudgeAgreement("j", 3, agreement, agreement, {}),),
        sets=(scores,),
        differences=(SetDifference(short, human, 0, counts, None, counts, counts),),
    )


def general_text() -> MethodResult:
    loss = ModelLoss(
        name="base", nats_per_token=None, bits_per_byte=OPEN, texts=1, tokens=2, bytes=3
    )
    change = LossDifference(
        a="raw", b="base", nats_per_token=None, bits_per_byte=OPEN, texts=1, tokens=2, bytes=3
    )
    return GeneralTextResult(models=(loss,), differences=(change,))


def tasks() -> MethodResult:
    change = TaskDifference(
        a="raw",
        b="base",
        task="t",
        metric="acc",
        before=0.5,
        after=0.25,
        difference=OPEN,
        p_mcnemar=None,
    )
    scores = (TaskScore("t", "acc", 0.5, None, 2),)
    return TasksResult(models=(ModelTasks(name="base", scores=scores),), differences=(change,))


def faithfulness() -> MethodResult:
    agreement = Agreement(3, OPEN, None, {"yes yes": 3})
    recipe = RecipeFaithfulness(
        recipe="qa", texts=2, documents=1, claims=4, judged=3, supported=OPEN,
        unread_passages={"prose": 1}, unjudged={"empty": 1},
    )  # fmt: skip
    return FaithfulnessResult(
        judge=JudgeAgreement("j", 3, agreement, agreement, {}), wanted=3, judged=2,
        recipes=(recipe,), examples=(UnsupportedClaim("qa", "d0", "p1", "It rained."),),
        requests=9, known_usd=0.5, unpriced=1,
    )  # fmt: skip


def judged_answers() -> MethodResult:
    verdicts: list[ShortAnswerVerdict] = ["correct", "not attempted"]
    rows = [
        VerdictRow("m", f"q{n}", "d", "near", "a", ("b",), each, None, "j", "{}", n)
        for n, each in enumerate(verdicts)
    ]
    one = Agreement(2, OPEN, None, {"yes yes": 2})
    wrong = LabeledDisagreement(
        kind="alias", question="?", answer="a", label="correct", verdict="incorrect"
    )
    agreement = VerdictAgreement(
        judge="j", answers=3, read=2, accuracy=OPEN, kappa=None, by_verdict={"correct": one},
        unread={"prose": 1}, disagreements=(wrong,),
    )  # fmt: skip
    return judged_answers_result({"base": rows}, agreement)


def every_result() -> dict[str, MethodResult]:
    likelihoods = {
        name: make_rows(QUESTIONS, option_rows(right)) for name, right in (("base", 3), ("raw", 6))
    }
    answers = {"base": answer_rows(3), "raw": answer_rows(6)}
    short = {"base": answer_rows(0, short=True)}
    return {
        "likelihood": likelihood_result(likelihoods, "per_token"),
        "answers": answers_result(answers, PROTOCOLS["default"], None, {"raw": ["seed"]}),
        "short_answers": short_answers_result(short, {"base": likelihoods["base"]}),
        "judged_answers": judged_answers(),
        "open_book": open_book(),
        "summaries": summaries(),
        "general_text": general_text(),
        "tasks": tasks(),
        "faithfulness": faithfulness(),
    }


def test_results_of_all_methods_are_read_back(tmp_path: Path) -> None:
    scores = Scores(every_result(), (SkippedQuestion("q9", "it has no gold answer"),))
    assert scores.results.keys() == METHODS.keys()
    write_scores(tmp_path / "scores.json", scores)
    assert read_scores(tmp_path / "scores.json") == scores


def test_a_missing_bound_is_null_in_json(tmp_path: Path) -> None:
    write_scores(tmp_path / "scores.json", Scores({"general_text": general_text()}))
    text = (tmp_path / "scores.json").read_text()
    json.loads(text, parse_constant=lambda name: (_ for _ in ()).throw(AssertionError(name)))
    bits = read_json(tmp_path / "scores.json")["general_text"]["models"][0]["bits_per_byte"]
    assert bits == {"mean": 1.5, "low": None, "high": None, "n": 3, "clusters": 1}


def test_scores_of_another_form_are_named(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    write_json(path, {"short_answers": {"exact_match": {}, "f1": {}}, "skipped": []})
    with pytest.raises(UserError, match=r"written by another version"):
        read_scores(path)
