"""Scores from rows of answers alone, under any parser, vote and treatment of unread answers.

`rescore` is pure. A question without one valid answer is wrong, or left out as the paper's code
does; either way the share of questions that were read stands beside the accuracy, with the reasons.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from steep.evaluation.answers import AnswerRow
from steep.evaluation.parsers import parse
from steep.evaluation.prompts import letters_of, options_of
from steep.evaluation.protocols import Answer, vote
from steep.evaluation.results import AnswerProtocol, Interval, ParserName, Unparsed, VoteName
from steep.evaluation.statistics import mean_interval

NOTHING_CAME = "the engine gave no answer"
CUT_OFF = "cut off at max_tokens"
# Why a text may hold no answer, by its finish_reason.
CAUSES = {
    "length": CUT_OFF,
    "reasoning": "all tokens went into thinking, raise evaluate.max_tokens",
    "content_filter": "a filter of the provider stopped it",
}


@dataclass(frozen=True, slots=True)
class ScoredQuestion:
    """The answer to one question; `chosen` is None if no sample had a valid answer."""

    question_id: str
    document_id: str
    kind: str
    gold: Answer
    gold_letters: str
    chosen: Answer | None

    @property
    def right(self) -> bool:
        """True if exactly the right options were chosen."""
        return self.chosen == self.gold


@dataclass(frozen=True, slots=True)
class AnswerScores:
    """The score of one model.

    Attributes:
        accuracy: None if every question was left out.
        questions: Number of questions.
        attempted: Number of questions with a valid answer.
        samples: Number of texts.
        invalid: Number of texts without a valid answer, by reason.
        by_kind: Accuracy by kind of question.
        by_gold_letter: Accuracy by the letters under which the right options were shown.
        chosen_letters: How often each combination of letters was chosen.
    """

    accuracy: Interval | None
    questions: int
    attempted: int
    samples: int
    invalid: Mapping[str, int]
    by_kind: Mapping[str, Interval]
    by_gold_letter: Mapping[str, Interval]
    chosen_letters: Mapping[str, int]

    @property
    def attempt_rate(self) -> float:
        """The share of questions with a valid answer."""
        return self.attempted / self.questions


def rescore(
    rows: Sequence[AnswerRow], parser: ParserName, vote_rule: VoteName, unparsed: Unparsed
) -> AnswerScores:
    """Count the answers of one model."""
    judged = verdicts(rows, parser, vote_rule)
    counted = [each for each in judged if unparsed == "wrong" or each.chosen is not None]
    reasons = Counter(_parsed(row, parser)[1] for row in rows)
    shown = {row.question_id: row.order for row in rows}
    chosen = Counter(
        letters_of(each.chosen, shown[each.question_id]) for each in judged if each.chosen
    )
    return AnswerScores(
        accuracy=_accuracy(counted) if counted else None,
        questions=len(judged),
        attempted=sum(each.chosen is not None for each in judged),
        samples=len(rows),
        invalid={reason: count for reason, count in reasons.most_common() if reason},
        by_kind=_by(counted, [each.kind for each in counted]),
        by_gold_letter=_by(counted, [each.gold_letters for each in counted]),
        chosen_letters=dict(sorted(chosen.items())),
    )


def score(rows: Sequence[AnswerRow], protocol: AnswerProtocol) -> AnswerScores:
    """Count the answers of one model under a protocol."""
    return rescore(rows, protocol.parser, protocol.vote, protocol.unparsed)


def verdicts(
    rows: Sequence[AnswerRow], parser: ParserName, vote_rule: VoteName
) -> list[ScoredQuestion]:
    """Return one verdict per question, in the order of the rows."""
    found = []
    for question_id, samples in _by_question(rows).items():
        first = samples[0]
        valid = [answer for row in samples if (answer := _parsed(row, parser)[0]) is not None]
        found.append(
            ScoredQuestion(
                question_id=question_id,
                document_id=first.document_id,
                kind=first.kind,
                gold=first.gold,
                gold_letters=letters_of(first.gold, first.order),
                chosen=vote(valid, question_id, vote_rule),
            )
        )
    return found


def _parsed(row: AnswerRow, parser: ParserName) -> tuple[Answer | None, str | None]:
    if row.finish_reason == "error":
        return None, NOTHING_CAME
    letters, why_not = parse(row.output, len(row.options), parser)
    if why_not and row.finish_reason in CAUSES:
        why_not = f"{why_not}: {CAUSES[row.finish_reason]}"
    return (None, why_not) if why_not else (options_of(letters, row.order), None)


def _by_question(rows: Sequence[AnswerRow]) -> dict[str, list[AnswerRow]]:
    groups: dict[str, list[AnswerRow]] = {}
    for row in rows:
        groups.setdefault(row.question_id, []).append(row)
    return groups


def _by(verdicts: Sequence[ScoredQuestion], keys: Sequence[str]) -> dict[str, Interval]:
    groups: dict[str, list[ScoredQuestion]] = {}
    for key, verdict in zip(keys, verdicts, strict=True):
        groups.setdefault(key, []).append(verdict)
    return {key: _accuracy(group) for key, group in sorted(groups.items())}


def _accuracy(verdicts: Sequence[ScoredQuestion]) -> Interval:
    right = [float(verdict.right) for verdict in verdicts]
    return mean_interval(right, [verdict.document_id for verdict in verdicts])
