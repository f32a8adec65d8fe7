from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as parquet

from steep.evaluation.normalizers import OptionScores
from steep.evaluation.questions import Question
from steep.evaluation.rows import count_ties, make_rows, read_rows, write_rows

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
    write_rows(tmp_path / "rows.parquet", rows)
    assert read_rows(tmp_path / "rows.parquet") == rows


def test_a_row_holds_what_was_chosen() -> None:
    first, second = make_rows(QUESTIONS, SCORES)
    assert (first.choice_sum, first.choice_per_token) == (1, 0)
    assert first.right("sum")
    assert not first.right("per_token")
    assert second.right("per_byte")


def test_the_columns_are_those_that_are_promised(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.parquet", make_rows(QUESTIONS, SCORES))
    schema = parquet.read_schema(tmp_path / "rows.parquet")
    assert {field.name: str(field.type).replace("element", "item") for field in schema} == {
        "question_id": "string",
        "document_id": "string",
        "kind": "string",
        "question": "string",
        "options": "list<item: string>",
        "gold": "list<item: int32>",
        "choice_sum": "int32",
        "choice_per_token": "int32",
        "choice_per_character": "int32",
        "choice_per_byte": "int32",
        "sum_logprob": "list<item: double>",
        "tokens": "list<item: int32>",
        "characters": "list<item: int32>",
        "bytes": "list<item: int32>",
    }


def test_ties_are_counted_by_normaliser() -> None:
    assert count_ties(make_rows(QUESTIONS, SCORES)) == {
        "sum": 1,
        "per_token": 1,
        "per_character": 1,
        "per_byte": 1,
    }
