"""Closed book, by written answers: thought processes after five solved examples.

Scores follow from rows alone, under any parser, vote and treatment of unread answers. A question
without one valid answer is wrong, or left out as the paper's code does; either way the number of
questions that were read is reported with the accuracy, and the reasons.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from steep.core.artifacts import Artifact
from steep.core.files import read_rows, write_rows
from steep.evaluation.compare import Grade, compare, counted_reasons, grouped
from steep.evaluation.engines import TOO_LONG
from steep.evaluation.eval_models import EvalModel, name_of
from steep.evaluation.methods.common import (
    ROWS_NAME,
    Graded,
    Method,
    Session,
    build_rows,
    remove_outputs,
    resumable,
    rows_by_model,
    text_progress,
)
from steep.evaluation.option_bias import (
    ShownOptions,
    chosen_options,
    letter_shares,
    option_bias,
    selection_chance,
)
from steep.evaluation.parsers import ONE_LETTER, parse
from steep.evaluation.prompts import letters_of, options_of
from steep.evaluation.protocols import Answer, as_asked, asking_fields, protocol_of, vote
from steep.evaluation.results import (
    AnswerProtocol,
    AnswersResult,
    AnswersScore,
    Interval,
    LetterShares,
    ModelScore,
    OptionBias,
    ParserName,
    VoteName,
)
from steep.evaluation.rows import AnswerRow, ask_choices
from steep.evaluation.setup import EvaluationSetup, PlannedComparisons
from steep.evaluation.statistics import mean_interval

STAGE = "answer"
METRIC = "accuracy of answers"  # of its grades
LEAST_READ = 0.9  # of the questions; the result warns below
NOTHING_CAME = "the engine gave no answer"
CUT_OFF = "cut off at max_tokens"
# Why a text may hold no answer, by its finish_reason.
CAUSES = {
    "length": CUT_OFF,
    "reasoning": "all tokens went into thinking, raise evaluate.max_tokens",
    "content_filter": "a filter of the provider stopped it",
}


def ask(session: Session, eval_model: EvalModel) -> Iterator[Artifact]:
    """Ask for an answer to every question."""
    question_set, settings = session.question_set, eval_model.setup.evaluate
    if question_set is None or not question_set.questions:
        return
    protocol, questions = protocol_of(settings), question_set.questions

    def make(directory: Path) -> dict[str, Any]:
        rows = ask_choices(
            resumable(eval_model, directory),
            eval_model.name,
            questions,
            question_set.by_id,
            protocol,
            seed=settings.seed,
            on_progress=text_progress(
                f"answer {eval_model.name}", len(questions) * protocol.samples
            ),
        )
        write_rows(directory / ROWS_NAME, rows, AnswerRow)
        remove_outputs(directory)
        return {
            "model": eval_model.name,
            "questions": len(questions),
            "asked_without": eval_model.asked_without,
        }

    fields = asking_fields(protocol, settings.seed)
    yield build_rows(STAGE, question_set, eval_model, fields, make)


def answer_grades(rows: Sequence[AnswerRow], protocol: AnswerProtocol) -> list[Grade]:
    """Grade written answers as right or wrong; unread ones are wrong, or left out."""
    return [
        Grade(
            each.row.question_id,
            each.row.document_id,
            each.row.kind,
            None if each.chosen is None and protocol.unparsed == "excluded" else float(each.right),
        )
        for each in verdicts(rows, protocol.parser, protocol.vote)
    ]


def answers_result(
    by_model: Mapping[str, Sequence[AnswerRow]],
    protocol: AnswerProtocol,
    planned: PlannedComparisons | None = None,
    asked_without: Mapping[str, Sequence[str]] | None = None,
) -> AnswersResult:
    """Compute the accuracy of written answers, and how many could be read.

    `asked_without` are the parameters that the server of a model refused.
    """
    compared = compare({n: answer_grades(rows, protocol) for n, rows in by_model.items()}, planned)
    without = asked_without or {}
    judged = {n: verdicts(rows, protocol.parser, protocol.vote) for n, rows in by_model.items()}
    models = tuple(
        _score(each, by_model[each.name], judged[each.name], protocol, without.get(each.name) or ())
        for each in compared.models
    )
    rows = next(iter(by_model.values()))
    several = len({row.question_id for row in rows if len(row.gold) > 1})
    return AnswersResult(
        models=models,
        pairs=compared.pairs,
        arms=compared.arms,
        minimum_detectable_difference=compared.minimum_detectable_difference,
        not_compared=compared.not_compared,
        protocol=protocol,
        chance=answers_chance(rows),
        chance_by_kind={
            kind: answers_chance(own, several > 0)
            for kind, own in grouped(rows, lambda row: row.kind).items()
        },
        several_right=several,
        warnings=tuple(_warnings(models, several, protocol)),
        letters=_letters(models, rows, several > 0),
        bias=answers_bias(judged),
    )


def _letters(
    models: Sequence[AnswersScore], rows: Sequence[AnswerRow], several: bool
) -> dict[str, LetterShares]:
    """Return chance and gold of all letters that are right or that any model chose."""
    asked = list({row.question_id: row for row in rows}.values())
    gold = [letters_of(row.gold, row.order) for row in asked]
    seen = {letters for model in models for letters in model.chosen_letters} | {*gold}
    options = [len(row.options) for row in asked]
    return letter_shares(sorted(seen), gold, options, several=several)


def answers_bias(by_model: Mapping[str, Sequence[ScoredQuestion]]) -> OptionBias | None:
    """Return lengths and places of the chosen options, of answers that choose one option."""
    models = []
    for name, judged in by_model.items():
        chosen = [
            (each.row, each.chosen[0]) for each in judged if each.chosen and len(each.chosen) == 1
        ]
        counted = [(_shown(row), option) for row, option in chosen if len(row.gold) == 1]
        shown, options = [each for each, _ in counted], [option for _, option in counted]
        models.append(chosen_options(name, None, shown, options))
    asked = [each.row for each in next(iter(by_model.values()))]
    return option_bias([_shown(row) for row in asked if len(row.gold) == 1], models)


def _shown(row: AnswerRow) -> ShownOptions:
    return ShownOptions([len(option) for option in row.options], row.order, row.gold[0])


def _score(
    model: ModelScore,
    rows: Sequence[AnswerRow],
    judged: Sequence[ScoredQuestion],
    protocol: AnswerProtocol,
    without: Sequence[str],
) -> AnswersScore:
    counted = [each for each in judged if protocol.unparsed == "wrong" or each.chosen is not None]
    chosen = Counter(letters_of(each.chosen, each.row.order) for each in judged if each.chosen)
    by_letters = grouped(counted, lambda each: letters_of(each.row.gold, each.row.order))
    return AnswersScore(
        **vars(model),
        questions=len(judged),
        attempted=sum(each.chosen is not None for each in judged),
        samples=len(rows),
        invalid=counted_reasons(_parsed(row, protocol.parser)[1] for row in rows),
        by_gold_letter={key: _accuracy(each) for key, each in sorted(by_letters.items())},
        chosen_letters=dict(sorted(chosen.items())),
        asked_without=tuple(without) or None,
    )


def _accuracy(verdicts: Sequence[ScoredQuestion]) -> Interval:
    right = [float(verdict.right) for verdict in verdicts]
    return mean_interval(right, [verdict.row.document_id for verdict in verdicts])


class ScoredQuestion(NamedTuple):
    """The answer to one question (None without a valid one), with the row of a sample."""

    row: AnswerRow
    chosen: Answer | None

    @property
    def right(self) -> bool:
        """True if exactly the right options were chosen."""
        return self.chosen == self.row.gold


def verdicts(
    rows: Sequence[AnswerRow], parser: ParserName, vote_rule: VoteName
) -> list[ScoredQuestion]:
    """Return one verdict per question, in the order of the rows."""
    found = []
    for id_, samples in grouped(rows, lambda row: row.question_id).items():
        valid = [answer for row in samples if (answer := _parsed(row, parser)[0]) is not None]
        found.append(ScoredQuestion(samples[0], vote(valid, id_, vote_rule)))
    return found


def _parsed(row: AnswerRow, parser: ParserName) -> tuple[Answer | None, str | None]:
    """Return the options that a text chooses, or the reason why it chooses none."""
    if row.finish_reason == TOO_LONG:
        return None, NOTHING_CAME
    letters, why_not = parse(row.output, len(row.options), parser)
    if why_not and row.finish_reason in CAUSES:
        why_not = f"{why_not}: {CAUSES[row.finish_reason]}"
    return (None, why_not) if why_not else (options_of(letters, row.order), None)


def answers_chance(rows: Sequence[AnswerRow], several: bool | None = None) -> float:
    """Return the accuracy of a guess among all answers that the prompts allow.

    That is one of the options; where any question of the set has several right ones, the prompts
    say that one or more are right, and a guess is any of the possible selections.

    `several` is True if any question of the set has several right options; by default, if any of
    `rows` has.
    """
    options = {row.question_id: len(row.options) for row in rows}
    if several is None:
        several = any(len(row.gold) > 1 for row in rows)
    return sum(selection_chance(n, several=several) for n in options.values()) / len(options)


def _warnings(
    models: Sequence[AnswersScore], several: int, protocol: AnswerProtocol
) -> Iterator[str]:
    """Yield warnings about models with too few readable answers, and parsers of single letters."""
    other = "" if protocol.parser == "lenient" else "; evaluate.parser lenient reads more"
    for model in models:
        if model.attempted < LEAST_READ * model.questions:
            yield (
                f"{model.name}: only {model.attempted} of {model.questions} questions have an "
                "answer that could be read, so its accuracy also measures the format. See the "
                f"reasons beside it{other} (steep evaluate --rescore asks nothing again)"
            )
    if several and protocol.parser in ONE_LETTER:
        yield (
            f"{several} questions have several right options, of which the parser "
            f"'{protocol.parser}' can read one letter only, so no answer to them is right"
        )


def _result(
    artifacts: Sequence[Artifact], _: Sequence[Artifact], setup: EvaluationSetup
) -> AnswersResult:
    rows = rows_by_model(artifacts, AnswerRow)
    # Prompts as in the rows, parsing and votes as configured.
    asked = artifacts[0].manifest["identity"]["fields"]
    protocol = as_asked(protocol_of(setup.evaluate), asked)
    without = {name_of(each): each.manifest.get("asked_without") or () for each in artifacts}
    return answers_result(rows, protocol, setup.planned_comparisons(rows), without)


def texts_about(artifact: Artifact, question_id: str) -> tuple[list[AnswerRow], dict[str, Any]]:
    """Return the texts about one question, and what they hold of the question."""
    rows = read_rows(artifact.path / ROWS_NAME, AnswerRow)
    own = [row for row in rows if row.question_id == question_id]
    parts = ("options", "gold", "answers")
    return own, {key: list(getattr(own[0], key)) for key in parts} if own else {}


def about(artifact: Artifact, setup: EvaluationSetup, question_id: str) -> list[dict[str, Any]]:
    """Return the texts of a model about one question, and the answer that counts."""
    rows, asked = texts_about(artifact, question_id)
    protocol = protocol_of(setup.evaluate)
    return [
        {
            "asked": asked,
            "chosen": None if each.chosen is None else list(each.chosen),
            "right": each.right,
            "texts": [row.output for row in rows],
        }
        for each in verdicts(rows, protocol.parser, protocol.vote)
    ]


def graded(artifact: Artifact, setup: EvaluationSetup) -> dict[str, Graded]:
    """Return the grades of a model."""
    rows = read_rows(artifact.path / ROWS_NAME, AnswerRow)
    asked = artifact.manifest["identity"]["fields"]
    grades = answer_grades(rows, as_asked(protocol_of(setup.evaluate), asked))
    return {METRIC: Graded(grades, answers_chance(rows))}


METHOD = Method(STAGE, ask, _result, about=about, graded=graded)
