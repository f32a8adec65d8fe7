"""The tables of `scores.json` beside the likelihoods, counted by the functions that count them.

Rows are made by arithmetic; what is in a table, and under which name, is the evaluation's own.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from steep.evaluation.compare import Grade
from steep.evaluation.engines import OptionScores
from steep.evaluation.methods.answers import answers_result
from steep.evaluation.methods.general_text import TextLoss, loss_difference, loss_score
from steep.evaluation.methods.harness_tasks import TaskRow, compare_tasks
from steep.evaluation.methods.likelihood import likelihood_result
from steep.evaluation.methods.open_book_result import GridPoint, Retrieved, open_book_result
from steep.evaluation.methods.short_answers import short_answers_result
from steep.evaluation.protocols import PROTOCOLS
from steep.evaluation.questions import Question
from steep.evaluation.results import AnswerProtocol, as_json, finite
from steep.evaluation.rows import AnswerRow, QuestionRow, make_rows
from steep.evaluation.study_results import HUMAN, GridVariant, TaskScore
from steep.evaluation.summaries.claims import Judged, compare_verdicts, labeled_claims
from steep.evaluation.summaries.judging import Verdict
from steep.evaluation.summaries.scores import SummaryScores
from steep.evaluation.summaries.texts import ClaimRow, PassageRow, SummaryRow
from steep.retrieval.measures import RetrievalQuality, RetrievalRow

MODELS = ("base", "raw", "entigraph")
RIGHT = dict(zip(MODELS, (0.3, 0.45, 0.7), strict=True))  # about the share that each gets right
QUESTIONS = 60
OPTIONS = ("a mule", "an ox", "a steel rope", "two oxen")
TOO_LONG = "The prompt of q7 has 9,120 tokens, the model's context 8,192."


def computed_once(make: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Keep what a function returns for its arguments, and return copies that a test may change."""
    kept = functools.cache(make)
    return functools.wraps(make)(lambda *arguments: copy.deepcopy(kept(*arguments)))


@computed_once
def tables() -> dict[str, Any]:
    """All of them, as they are written."""
    found: dict[str, Any] = finite(
        {
            "answers": written_answers(),
            "short_answers": short_answers(),
            "open_book": open_book(),
            "summaries": summaries(),
            "general_text": general_text(),
            "tasks": tasks(),
        }
    )
    return found


def is_right(model: str, number: int, more: float = 0.0) -> bool:
    """Spread evenly, so that every document and kind has some of either."""
    return (number * 0.618 + 0.05) % 1 < RIGHT[model] + more


def kind(number: int) -> str:
    return ("near the text", "backwards", "two facts")[number % 3]


def document(number: int) -> str:
    return f"doc{number % 6}"


# ---- closed book ---------------------------------------------------------------------------------


@computed_once
def written_answers(protocol: AnswerProtocol = PROTOCOLS["default"]) -> dict[str, Any]:
    rows = {m: [_letter(m, n) for n in range(QUESTIONS)] for m in MODELS}
    return as_json(answers_result(rows, protocol))


def _letter(model: str, number: int) -> AnswerRow:
    gold = number % 4
    chosen = gold if is_right(model, number) else (gold + 1) % 3
    output = f"It is told so.\nAnswer: {'ABCD'[chosen]}."
    if model == "base" and number % 5 == 0:
        output = "I cannot say." if number % 2 else "Answer: Z."
    return _answer(model, number, output, options=("w", "x", "y", "z"), gold=(gold,))


def unreadable_answers(protocol: AnswerProtocol) -> dict[str, Any]:
    """A table in which nothing of the first model could be read."""
    rows = {m: [_letter(m, n) for n in range(QUESTIONS)] for m in MODELS}
    rows["base"] = [
        _answer("base", n, "Well.", options=("w", "x", "y", "z"), gold=(n % 4,))
        for n in range(QUESTIONS)
    ]
    return as_json(answers_result(rows, protocol))


def _answer(
    model: str,
    number: int,
    output: str,
    options: tuple[str, ...] = (),
    gold: tuple[int, ...] = (),
    answers: tuple[str, ...] = (),
) -> AnswerRow:
    return AnswerRow(
        model, f"q{number}", document(number), kind(number), 0, 0, "?", output, "stop",
        options, tuple(range(len(options))), gold, answers, None,
    )  # fmt: skip


@computed_once
def choices() -> dict[str, Any]:
    """Bias and calibration of likelihoods: the last option is right in the first half."""
    rows = {model: [_scored(model, n) for n in range(QUESTIONS)] for model in MODELS}
    found = as_json(likelihood_result(rows, "per_token"))
    return {name: found[name] for name in ("bias", "calibration")}


def _scored(model: str, number: int) -> QuestionRow:
    gold = 3 if number < QUESTIONS // 2 else number % 4
    best = gold if is_right(model, number) else 3 - gold
    question = Question(f"q{number}", document(number), kind(number), "?", OPTIONS, (gold,))
    sums = tuple(-4.0 - (option != best) * (0.5 + number % 5) for option in range(4))
    characters = tuple(map(len, OPTIONS))
    return make_rows([question], [OptionScores(sums, (2, 2, 3, 3), characters, characters)])[0]


@computed_once
def short_answers() -> dict[str, Any]:
    rows = {model: [_short(model, n) for n in range(20)] for model in MODELS}
    served = {model: [_likely(model, n) for n in range(20)] for model in MODELS[:2]}
    return as_json(short_answers_result(rows, served))


def _short(model: str, number: int) -> AnswerRow:
    output = "the Moon Valve" if is_right(model, number) else ("Moon", "")[number % 2]
    row = _answer(model, number, output, answers=("Moon Valve", "valve of the moon"))
    return row


def _likely(model: str, number: int) -> QuestionRow:
    question = Question(f"q{number}", document(number), "short", "?", ("a", "b"), (0, 1))
    nats = -4.0 + 2 * is_right(model, number)
    return make_rows([question], [OptionScores((nats, -9.0), (3, 4), (10, 17), (10, 17))])[0]


# ---- open book -----------------------------------------------------------------------------------

SIZES, SHOWN = (256, 1024), (1, 4, 8)


@computed_once
def open_book(sizes: tuple[int, ...] = SIZES, shown: tuple[int, ...] = SHOWN) -> dict[str, Any]:
    """A grid with a validation split: the best of it and the whole document on the test."""
    cells = [
        _cell(model, size, k, "validation") for model in MODELS for size in sizes for k in shown
    ]
    for model in MODELS:
        cells += [_cell(model, sizes[-1], shown[-1], "test"), _cell(model, None, 1, "test")]
    retrieved = {
        size: Retrieved(dict.fromkeys(MODELS, _retrieved(size)), 30_000 // size) for size in sizes
    }
    closed = {model: [_grade(model, n, 0.0) for n in range(QUESTIONS)] for model in MODELS}
    return as_json(open_book_result("likelihood", cells, retrieved, closed))


def open_book_without_a_best() -> dict[str, Any]:
    """A small grid without a split, which has no best cell."""
    cells = [_cell("raw", size, 4, "all") for size in SIZES]
    retrieved = {size: Retrieved({"raw": _retrieved(size)}) for size in SIZES}
    return as_json(open_book_result("answers", cells, retrieved, {}))


def _cell(model: str, size: int | None, shown: int, split: str) -> GridPoint:
    numbers = {"validation": range(12), "test": range(12, QUESTIONS), "all": range(QUESTIONS)}
    more = 0.25 if size is None else 0.02 * shown + (0.05 if size > 500 else 0)
    too_long = size == 256 and shown == 8 and model == "raw" and split == "validation"
    return GridPoint(
        model,
        GridVariant(
            chunk_characters=size, shown=shown, order="best_first", temperature=None, split=split
        ),
        () if too_long else tuple(_grade(model, n, more) for n in numbers[split]),
        TOO_LONG if too_long else None,
    )


def _grade(model: str, number: int, more: float) -> Grade:
    right = is_right(model, number, more)
    return Grade(f"q{number}", document(number), kind(number), float(right))


def _retrieved(size: int) -> list[RetrievalRow]:
    rows = []
    for number in range(QUESTIONS):
        rank = 1 + number % (9 if size < 500 else 5)
        answer = RetrievalQuality((rank + 1,), 1) if number % 7 else RetrievalQuality((), 0)
        rows.append(
            RetrievalRow(f"q{number}", document(number), RetrievalQuality((rank,), 9), answer)
        )
    return rows


# ---- summaries -----------------------------------------------------------------------------------

VERDICTS = {"f": (False, None), "s": (True, True), "c": (True, False), "?": (None, None)}


@computed_once
def summaries() -> dict[str, Any]:
    texts = {
        (HUMAN, HUMAN): lambda n: ("ssssc" + "f" * (n % 2), "sssc" + "f" * (n % 3 == 0)),
        ("base", "short"): lambda n: ("ffs" + "f" * (n % 2),),
        ("base", "long"): lambda n: ("ffffffs" + "c?" * (n % 2),),
        ("entigraph", "short"): lambda n: ("fsss" + "c" * (n % 3),),
        ("entigraph", "long"): lambda n: ("ffssssscc" + "s?" * (n % 2),),
    }
    return {**as_json(_study(texts).result()), "judge": [judge()]}


def judge() -> dict[str, Any]:
    """A judge that is wrong about every seventh claim and unreadable about one."""
    labeled = labeled_claims()
    verdicts = []
    for number, row in enumerate(labeled):
        true = (row.label != "false") != (number % 7 == 0)
        verdicts.append(Verdict(true, row.label == "salient" if true else None, None))
    verdicts[3] = Verdict(None, None, "no verdict")
    return asdict(compare_verdicts("a judge", labeled, verdicts))


def guessing_judge() -> dict[str, Any]:
    """A judge that calls everything true and salient."""
    labeled = labeled_claims()
    verdicts = [Verdict(True, number % 2 == 0, None) for number in range(len(labeled))]
    return asdict(compare_verdicts("a coin", labeled, verdicts))


def _study(texts: dict[tuple[str, str], Callable[[int], tuple[str, ...]]]) -> SummaryScores:
    summaries, passages, claims = [], [], []
    for (writer, length), letters_of in texts.items():
        for place in range(6):
            for number, letters in enumerate(letters_of(place)):
                key = (writer, f"doc{place}", length, number)
                unread = "no list" if (writer, place) == ("base", 5) else None
                summaries.append(SummaryRow(*key, "", "text", "stop", 0))
                passages.append(PassageRow(*key, 0, "text", "a judge", (), unread, "", 0))
                claims += [] if unread else _claims(key, letters)
    return SummaryScores(summaries, Judged(passages, claims))


def _claims(key: tuple[str, str, str, int], letters: str) -> list[ClaimRow]:
    return [
        ClaimRow(
            *key, n, f"claim {n}", 0, "a judge", *VERDICTS[letter],
            "no verdict" if letter == "?" else None, n + 1, "h", "", 0,
        )
        for n, letter in enumerate(letters)
    ]  # fmt: skip


# ---- forgetting ----------------------------------------------------------------------------------

LOSS = dict(zip(MODELS, (2.31, 2.62, 2.33), strict=True))


@computed_once
def general_text() -> dict[str, Any]:
    """As the stage makes it: a later model minus the first."""
    before, *_ = rows = {model: _losses(model) for model in MODELS}
    return {
        "models": [{"name": name, **asdict(loss_score(each))} for name, each in rows.items()],
        "differences": [
            {"a": name, "b": before, **asdict(loss_difference(rows[name], rows[before]))}
            for name in MODELS[1:]
        ],
    }


def _losses(model: str) -> list[TextLoss]:
    return [
        TextLoss(f"t{n}", (LOSS[model] + 0.2 * ((n * 0.37 + len(model) * 0.11) % 1)) * size, size,
                 4 * size + n)
        for n in range(12)
        for size in (200 + 17 * n,)
    ]  # fmt: skip


@computed_once
def tasks() -> dict[str, Any]:
    rows = {model: _task_rows(model) for model in MODELS}
    return {
        "models": [
            {
                "name": model,
                "scores": [
                    asdict(TaskScore("a_task", "acc", sum(r.value for r in own) / 40, 0.07, 40)),
                    asdict(TaskScore("a_group", "acc", 0.5, None, 40)),
                ],
            }
            for model, own in rows.items()
        ],
        "differences": [
            asdict(found)
            for model in MODELS[1:]
            for found in compare_tasks(rows[model], rows["base"], model, "base")
        ],
    }


def _task_rows(model: str) -> list[TaskRow]:
    """All were about as good as one another, but raw lost something."""
    level = 0.5 if model == "raw" else 0.75
    right = [(n * 0.618 + len(model) * 0.01) % 1 < level for n in range(40)]
    return [TaskRow("a_task", f"t{n}", "acc", float(each)) for n, each in enumerate(right)]
