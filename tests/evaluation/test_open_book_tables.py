"""Tables of the open book: hits and misses, the one cell that counts, what retrieval adds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from steep.core.files import read_rows, write_rows
from steep.evaluation.compare import Grade
from steep.evaluation.methods.open_book_result import (
    GridPoint,
    Retrieved,
    best_cell,
    chosen_variant,
    open_book_result,
)
from steep.evaluation.study_results import GridVariant
from steep.retrieval.measures import RetrievalQuality, RetrievalRow

NOTHING = RetrievalQuality((), 2)
ROWS = [
    RetrievalRow("q0", "d0", RetrievalQuality((1, 3), 2), RetrievalQuality((1,), 1)),
    RetrievalRow("q1", "d0", RetrievalQuality((2,), 2), RetrievalQuality((), 0)),
    RetrievalRow("q2", "d1", NOTHING, RetrievalQuality((), 1)),
    RetrievalRow("q3", "d1", RetrievalQuality((1,), 1), None),
]


def graded(*values: float | None) -> tuple[Grade, ...]:
    return tuple(Grade(f"q{n}", f"d{n // 2}", "near", value) for n, value in enumerate(values))


def cell(
    shown: int = 1, *values: float | None, size: int | None = 256, split: str = "all"
) -> GridPoint:
    variant = GridVariant(
        chunk_characters=size, shown=shown, order="best_last", temperature=None, split=split
    )
    return GridPoint("base", variant, graded(*values))


def test_accuracy_is_told_apart_by_what_was_shown() -> None:
    cells = [cell(1, 1, 0, 0, 1), cell(2, 1, 1, 0, 0)]
    table = open_book_result("likelihood", cells, {256: Retrieved({"base": ROWS})}, {})
    one, two = table.cells
    assert one.document_found and two.document_found and one.answer_found
    hit, miss = one.document_found.hit, one.document_found.miss
    assert (hit.n, hit.accuracy, miss.n, miss.accuracy) == (2, 1.0, 2, 0.0)
    hit, miss = two.document_found.hit, two.document_found.miss
    assert (hit.n, hit.accuracy, miss.n, miss.accuracy) == (3, 2 / 3, 1, 0.0)
    answer = one.answer_found
    assert (answer.hit.n, answer.miss.n) == (1, 2), "q3 has no known answer"
    (retrieval,) = table.retrieval
    assert retrieval.document.recall["1"].value == 0.5
    assert retrieval.document.recall["2"].value == 0.75
    assert retrieval.document.mrr.value == pytest.approx((1 + 0.5 + 0 + 1) / 4)
    assert retrieval.answer is not None
    assert (retrieval.answer.n, retrieval.answers_in_no_chunk) == (3, 1)
    assert table.compared is None and table.best == {}


def test_the_only_cell_counts_and_the_best_of_many_does_not() -> None:
    only, other = cell(1, 1, 0), cell(2, 1, 1)
    assert best_cell([only], "base") == only
    assert best_cell([only, other], "base") is None
    tried, tested = cell(1, 1, 0, split="validation"), cell(2, 1, 1, split="test")
    assert best_cell([tried, cell(2, 1, 1, split="validation"), tested], "base") == tested
    both_on_test = [cell(1, 1, 0, split="test"), tested]
    assert best_cell(both_on_test, "base") is None, "a grid on the test split was not chosen from"
    assert best_cell([tried], "base") == tried


def test_the_best_way_is_the_first_of_the_highest_that_could_be_asked() -> None:
    low, high, same = cell(1, 1, 0), cell(2, 1, 1), cell(3, 1, 1)
    left_out = replace(cell(4), left_out="too long")
    assert chosen_variant([left_out, low, high, same]) == high
    assert chosen_variant([left_out]) is None


def test_what_retrieval_adds_is_paired_with_closed_book_and_the_whole_document() -> None:
    whole = cell(1, 1, 1, 1, 0, size=None)
    closed = {"base": graded(0, 0, 0, 1), "other": graded(1, 1, 1, 1)}
    cells = [cell(1, 1, 0, 0, 1), whole]
    table = open_book_result("likelihood", cells, {256: Retrieved({"base": ROWS})}, closed)
    assert table.over_closed_book["base"].difference == 0.25
    assert table.under_whole_document["base"].difference == 0.25
    assert table.over_closed_book.keys() == {"base"}
    assert table.compared is not None
    assert table.compared.models[0].accuracy == 0.5
    assert table.cells[1].chunk_characters is None


def test_a_cell_that_was_not_asked_keeps_its_reason() -> None:
    left_out = replace(cell(4), left_out="too long")
    table = open_book_result(
        "likelihood", [cell(1, 1, 0, 0, 1), left_out], {256: Retrieved({"base": ROWS})}, {}
    )
    assert table.cells[1].n == 0 and table.cells[1].left_out == "too long"


def test_rows_of_retrieval_come_back(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.parquet", ROWS, RetrievalRow)
    assert read_rows(tmp_path / "rows.parquet", RetrievalRow) == ROWS
