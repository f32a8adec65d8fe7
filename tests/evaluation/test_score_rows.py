from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from steep.core.files import read_rows, write_rows
from steep.evaluation.engines import NORMALIZERS, Normalizer, OptionScores
from steep.evaluation.questions import Question
from steep.evaluation.rows import QuestionRow, count_ties, make_rows

QUESTIONS = [
    Question("q1", "d1", "near", "Who?", ("naïve", "b"), (1,)),
    Question("q2", "d2", "far", "Where?", ("c", "d", "e"), (0, 1)),
]
SCORES = [
    OptionScores((-2.0, -1.0), (4, 1), (5, 1), (6, 1)),
    OptionScores((-1.0, -1.0, -3.0), (1, 1, 1), (1, 1, 1), (1, 1, 1)),
]


def test_rows_survive_the_disk(tmp_path: Path) -> None:
    rows = make_rows(QUESTIONS, SCORES)
    write_rows(tmp_path / "rows.parquet", rows, QuestionRow)
    assert read_rows(tmp_path / "rows.parquet", QuestionRow) == rows


def test_a_row_holds_what_was_chosen() -> None:
    first, second = make_rows(QUESTIONS, SCORES)
    assert (first.likeliest("sum"), first.likeliest("per_token")) == ([1], [0])
    assert first.right("sum")
    assert not first.right("per_token")
    assert second.right("per_byte")


def test_where_several_are_right_exactly_these_must_be_the_likeliest() -> None:
    for sums, right in (((-1.0, -2.0, -3.0), True), ((-1.0, -3.0, -2.0), False)):
        (row,) = make_rows([QUESTIONS[1]], [replace(SCORES[1], sum_logprob=sums)])
        assert row.right("sum") == right
        assert row.chance == pytest.approx(1 / 3)
    (one,) = make_rows(QUESTIONS[:1], SCORES[:1])
    assert one.chance == 1 / 2


def test_the_columns_are_those_that_are_promised(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.parquet", make_rows(QUESTIONS, SCORES), QuestionRow)
    schema = parquet.read_schema(tmp_path / "rows.parquet")
    assert {field.name: str(field.type).replace("element", "item") for field in schema} == {
        "question_id": "string",
        "document_id": "string",
        "kind": "string",
        "question": "string",
        "options": "list<item: string>",
        "gold": "list<item: int64>",
        "sum_logprob": "list<item: double>",
        "tokens": "list<item: int64>",
        "characters": "list<item: int64>",
        "bytes": "list<item: int64>",
    }


def test_ties_are_counted_by_normaliser() -> None:
    rows = make_rows(QUESTIONS, SCORES)
    assert {count_ties(rows, name) for name in NORMALIZERS} == {1}
    tied = OptionScores((-3.0, -2.0, -2.0), (3, 2, 4), (1, 1, 1), (1, 1, 1))
    (row,) = make_rows([QUESTIONS[1]], [tied])
    assert (row.likeliest("sum"), count_ties([row], "sum")) == ([1], 1)
    assert (row.likeliest("per_token"), count_ties([row], "per_token")) == ([2], 0)


@pytest.mark.parametrize(
    ("normalizer", "chosen"), [("sum", 0), ("per_token", 1), ("per_character", 2), ("per_byte", 3)]
)
def test_each_normaliser_divides_by_its_own_length(normalizer: Normalizer, chosen: int) -> None:
    scores = OptionScores((-4.0, -6.0, -9.0, -12.0), (1, 6, 4, 5), (4, 7, 15, 10), (4, 7, 15, 40))
    assert scores.likeliest(normalizer) == [chosen]
