"""One row a question and model, as Parquet: all that is needed to compute the table again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from steep.core.files import read_parquet, write_parquet
from steep.evaluation.normalizers import (
    NORMALIZERS,
    Normalizer,
    OptionScores,
    choose,
    likeliest,
)
from steep.evaluation.questions import Question


@dataclass(frozen=True, slots=True)
class QuestionRow:
    """A question, what one model gave its options, and what it chose under each normalizer."""

    question_id: str
    document_id: str
    kind: str
    question: str
    options: tuple[str, ...]
    gold: tuple[int, ...]
    choice_sum: int
    choice_per_token: int
    choice_per_character: int
    choice_per_byte: int
    sum_logprob: tuple[float, ...]
    tokens: tuple[int, ...]
    characters: tuple[int, ...]
    bytes: tuple[int, ...]

    def right(self, normalizer: Normalizer) -> bool:
        """Whether exactly the right options are the likeliest under this normalizer.

        A likelihood ranks options and cannot say how many are right, so it is told: where two
        options are right, the two likeliest must be these.
        """
        return likeliest(self.scores, normalizer, len(self.gold)) == set(self.gold)

    @property
    def scores(self) -> OptionScores:
        """What was measured of the options."""
        return OptionScores(self.sum_logprob, self.tokens, self.characters, self.bytes)

    @property
    def chance(self) -> float:
        """The chance that as many options as are right, drawn at random, are the right ones."""
        return 1 / math.comb(len(self.options), len(self.gold))


def make_rows(questions: Sequence[Question], scores: Sequence[OptionScores]) -> list[QuestionRow]:
    """Join questions and their scores, in the same order, and choose."""
    chosen = {normalizer: choose(scores, normalizer).options for normalizer in NORMALIZERS}
    return [
        QuestionRow(
            question_id=question.id,
            document_id=question.document_id,
            kind=question.kind,
            question=question.question,
            options=question.options,
            gold=question.gold,
            choice_sum=chosen["sum"][index],
            choice_per_token=chosen["per_token"][index],
            choice_per_character=chosen["per_character"][index],
            choice_per_byte=chosen["per_byte"][index],
            **asdict(each),
        )
        for index, (question, each) in enumerate(zip(questions, scores, strict=True))
    ]


def count_ties(rows: Sequence[QuestionRow]) -> dict[Normalizer, int]:
    """Questions, by normalizer, of which two options or more were equally likely."""
    scores = [row.scores for row in rows]
    return {normalizer: choose(scores, normalizer).ties for normalizer in NORMALIZERS}


def write_rows(path: Path, rows: Sequence[QuestionRow]) -> None:
    """Write rows atomically."""
    write_parquet(path, [asdict(row) for row in rows], _schema())


def read_rows(path: Path) -> list[QuestionRow]:
    """Read what `write_rows` wrote."""
    return [_row(row) for row in read_parquet(path)]


def _row(row: dict[str, Any]) -> QuestionRow:
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in row.items()
    }
    if isinstance(values["gold"], int):  # written before a question could have several
        values["gold"] = (values["gold"],)
    return QuestionRow(**values)


def _schema() -> Any:
    import pyarrow as pa

    texts = ("question_id", "document_id", "kind", "question")
    choices = [f"choice_{normalizer}" for normalizer in NORMALIZERS]
    return pa.schema(
        [(name, pa.string()) for name in texts]
        + [("options", pa.list_(pa.string())), ("gold", pa.list_(pa.int32()))]
        + [(name, pa.int32()) for name in choices]
        + [("sum_logprob", pa.list_(pa.float64()))]
        + [(name, pa.list_(pa.int32())) for name in ("tokens", "characters", "bytes")]
    )
