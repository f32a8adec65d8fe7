"""From rows to the tables of `scores.json`: one function a way of asking, all of them pure.

Whatever the rows hold can be counted again at any time: another normalizer, parser or vote needs no
model. A table names the settings that it was counted under.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from steep.evaluation.answer_rows import AnswerRow
from steep.evaluation.answer_scores import score, verdicts
from steep.evaluation.compare import Grade, Planned, compare
from steep.evaluation.normalizers import NORMALIZERS, Normalizer
from steep.evaluation.option_lengths import length_table
from steep.evaluation.parsers import ONE_LETTER
from steep.evaluation.protocols import Protocol
from steep.evaluation.rows import QuestionRow, count_ties
from steep.evaluation.short_answer_metrics import exact_match, f1

AnyRow = TypeVar("AnyRow", QuestionRow, AnswerRow)

SHOWN_DIGITS = 4
LEAST_READ = 0.9  # of the questions; with fewer, the table warns


def likelihood_grades(rows: Sequence[QuestionRow], normalizer: Normalizer) -> list[Grade]:
    """Right or wrong by the likeliest option."""
    return [
        Grade(row.question_id, row.document_id, row.kind, float(row.right(normalizer)))
        for row in rows
    ]


def answer_grades(rows: Sequence[AnswerRow], protocol: Protocol) -> list[Grade]:
    """Right or wrong by what was written; an unread answer is wrong, or left out."""
    return [
        Grade(
            each.question_id,
            each.document_id,
            each.kind,
            None if each.chosen is None and protocol.unparsed == "excluded" else float(each.right),
        )
        for each in verdicts(rows, protocol.parser, protocol.vote)
    ]


def likelihood_table(
    rows_by_model: Mapping[str, Sequence[QuestionRow]],
    normalizer: Normalizer,
    planned: Planned | None = None,
) -> dict[str, Any]:
    """Accuracy of the likeliest option, and beside it under every other normalizer.

    Raises:
        ValueError: The models did not answer the same questions.
    """
    table = compare(
        {n: likelihood_grades(rows, normalizer) for n, rows in rows_by_model.items()}, planned
    )
    rows = next(iter(rows_by_model.values()))
    for model in table["models"]:
        own = rows_by_model[model["name"]]
        model["by_normalizer"] = {
            each: sum(row.right(each) for row in own) / len(own) for each in NORMALIZERS
        }
        model["ties"] = count_ties(own)[normalizer]
    return {
        "normalizer": normalizer,
        **table,
        "chance": mean_chance(rows),
        "chance_by_kind": {kind: mean_chance(own) for kind, own in _of_kinds(rows).items()},
        "several_right": sum(len(row.gold) > 1 for row in rows),
        "lengths": length_table(rows_by_model),
    }


def _of_kinds(rows: Sequence[AnyRow]) -> dict[str, list[AnyRow]]:
    found: dict[str, list[AnyRow]] = {}
    for row in rows:
        found.setdefault(row.kind, []).append(row)
    return found


def mean_chance(rows: Sequence[QuestionRow]) -> float:
    """The accuracy of a guess among the options, which is told how many are right."""
    return sum(row.chance for row in rows) / len(rows)


def answers_table(
    rows_by_model: Mapping[str, Sequence[AnswerRow]],
    protocol: Protocol,
    planned: Planned | None = None,
) -> dict[str, Any]:
    """Accuracy of written answers; how many could be read, and why not the others.

    Raises:
        ValueError: The models did not answer the same questions.
    """
    table = compare(
        {n: answer_grades(rows, protocol) for n, rows in rows_by_model.items()}, planned
    )
    for model in table["models"]:
        counted = score(rows_by_model[model["name"]], protocol)
        model |= {
            "questions": counted.questions,
            "attempted": counted.attempted,
            "samples": counted.samples,
            "invalid": dict(counted.invalid),
            "by_gold_letter": {
                letters: asdict(interval) for letters, interval in counted.by_gold_letter.items()
            },
            "chosen_letters": dict(counted.chosen_letters),
        }
    rows = next(iter(rows_by_model.values()))
    several = len({row.question_id for row in rows if len(row.gold) > 1})
    return {
        "protocol": asdict(protocol),
        **table,
        "chance": answers_chance(rows),
        "chance_by_kind": {
            kind: answers_chance(own, several > 0) for kind, own in _of_kinds(rows).items()
        },
        "several_right": several,
        "warnings": [
            *_reading_warnings(table["models"], protocol),
            *_one_letter_warnings(several, protocol),
        ],
    }


def answers_chance(rows: Sequence[AnswerRow], several: bool | None = None) -> float:
    """The accuracy of a guess among all answers that the prompts allow.

    That is one of the options; where any question of the set has several right ones, the prompts
    say that one or more are right, and a guess is any of the possible selections.

    Args:
        rows: Of a whole set, or of a part of it.
        several: Whether any question of the set has several; None where `rows` are the set.
    """
    options = {row.question_id: len(row.options) for row in rows}
    if several is None:
        several = any(len(row.gold) > 1 for row in rows)
    return sum(1 / (2**n - 1 if several else n) for n in options.values()) / len(options)


def _reading_warnings(models: Sequence[Mapping[str, Any]], protocol: Protocol) -> list[str]:
    """Say of which models too few answers could be read, and what to do about it."""
    other = "" if protocol.parser == "lenient" else "; evaluate.parser lenient reads more"
    return [
        f"{model['name']}: only {model['attempted']} of {model['questions']} questions have an "
        "answer that could be read, so its accuracy also measures the format. See the reasons "
        f"beside it{other} (steep evaluate --rescore asks nothing again)"
        for model in models
        if model["attempted"] < LEAST_READ * model["questions"]
    ]


def _one_letter_warnings(several: int, protocol: Protocol) -> list[str]:
    """Say that a parser of single letters can read no answer to some questions."""
    if not several or protocol.parser not in ONE_LETTER:
        return []
    return [
        f"{several} questions have several right options, of which the parser '{protocol.parser}' "
        "can read one letter only, so no answer to them is right"
    ]


def short_answers_table(
    rows_by_model: Mapping[str, Sequence[AnswerRow]],
    likelihoods_by_model: Mapping[str, Sequence[QuestionRow]],
    planned: Planned | None = None,
) -> dict[str, Any]:
    """SQuAD's exact match and F1 of free texts, and how likely an accepted answer was.

    Args:
        rows_by_model: What each model wrote.
        likelihoods_by_model: Each question's accepted answers, scored as options; a model behind
            a server that gives no likelihoods has none.
        planned: The comparisons that the study was made for; None: every two models.
    """
    metrics = {"exact_match": exact_match, "f1": f1}
    tables = {
        name: compare(
            {model: _graded(rows, metric) for model, rows in rows_by_model.items()}, planned
        )
        for name, metric in metrics.items()
    }
    return {
        **tables,
        "likelihood": {name: _best_likelihood(r) for name, r in likelihoods_by_model.items()},
        "empty": {
            name: sum(not row.output.strip() for row in rows)
            for name, rows in rows_by_model.items()
        },
    }


def _graded(rows: Sequence[AnswerRow], metric: Any) -> list[Grade]:
    return [
        Grade(row.question_id, row.document_id, row.kind, metric(row.output, row.answers))
        for row in rows
    ]


def _best_likelihood(rows: Sequence[QuestionRow]) -> dict[str, float]:
    """Means over questions of the likeliest accepted answer, in nats per token and per byte."""
    best = [
        (
            max(s / t for s, t in zip(row.sum_logprob, row.tokens, strict=True)),
            max(s / b for s, b in zip(row.sum_logprob, row.bytes, strict=True)),
        )
        for row in rows
    ]
    per_token, per_byte = (sum(column) / len(best) for column in zip(*best, strict=True))
    return {
        "n": len(best),
        "nats_per_token": round(per_token, SHOWN_DIGITS),
        "nats_per_byte": round(per_byte, SHOWN_DIGITS),
    }
