"""Open book: what retrieval found for each question, and accuracy with it and without.

A cell is one way of showing: chunk size, how many, in which order, at which temperature. Its
accuracy is told apart by hit and miss: whether a chunk of the right document was among those shown,
and, where the answer is a known text, whether a chunk with the answer was. All of it is computed
from rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steep.core.files import read_parquet, write_parquet
from steep.evaluation.compare import Grade, Planned, compare, difference, estimate
from steep.evaluation.statistics import mean_interval
from steep.retrieval.measures import RetrievalQuality, RetrievalRow

RECALLS = (1, 2, 4, 5, 8, 16)


@dataclass(frozen=True, slots=True)
class GridPoint:
    """One model in one way of showing; `chunk_characters` None stands for the whole document.

    Attributes:
        model: What the tables call the model.
        chunk_characters: Size of the chunks.
        shown: How many of them.
        order: "best_first" or "best_last".
        temperature: Of answers; None for likelihoods.
        split: The questions: "all", or "validation" and "test" where the best cell is chosen.
        grades: One a question.
        left_out: Why it was not asked, where prompts outgrow the model's context.
    """

    model: str
    chunk_characters: int | None
    shown: int
    order: str
    temperature: float | None
    split: str
    grades: tuple[Grade, ...]
    left_out: str | None = None

    @property
    def variant(self) -> tuple[Any, ...]:
        """What it shares with the cells of other models."""
        return self.chunk_characters, self.shown, self.order, self.temperature


def open_book_table(
    cells: Sequence[GridPoint],
    retrieved: Mapping[int, Mapping[str, Sequence[RetrievalRow]]],
    closed: Mapping[str, Sequence[Grade]],
    planned: Planned | None = None,
) -> dict[str, Any]:
    """The grid, what was found, and the models at their best cells.

    The best cell of a model is that with the highest accuracy on the validation split, of equal
    ones the first, and it is scored on the test split; where there is a single cell, it is that
    one. A grid without a split has no best cell: the highest of many is too high.

    Args:
        cells: All cells, the whole-document ones among them.
        retrieved: For each chunk size the rows of every model; models share them as a rule.
        closed: Closed-book grades of each model, counted in the same way.
        planned: The comparisons that the study was made for; None: every two models.

    Raises:
        ValueError: The models did not answer the same questions.
    """
    best = {model: cell for model in _models(cells) if (cell := best_cell(cells, model))}
    oracle = {cell.model: cell for cell in cells if cell.chunk_characters is None and cell.grades}
    asked = {name: cell for name, cell in best.items() if cell.grades}
    return {
        "retrieval": [
            {"chunk_characters": size, **retrieval_table(rows)}
            for size, by_model in retrieved.items()
            for rows in [next(iter(by_model.values()))]
        ],
        "cells": [_cell_row(cell, retrieved) for cell in cells],
        "best": {name: _variant(cell) for name, cell in asked.items()},
        "compared": compare({n: c.grades for n, c in asked.items()}, planned) if asked else None,
        "over_closed_book": _gains(asked, closed),
        "under_whole_document": _gains(oracle, {n: c.grades for n, c in asked.items()}),
    }


def best_cell(cells: Sequence[GridPoint], model: str) -> GridPoint | None:
    """The cell whose accuracy is reported for a model; None where that would be a choice."""
    own = [cell for cell in cells if cell.model == model and cell.chunk_characters is not None]
    if {cell.split for cell in own} == {"validation", "test"}:
        own = [cell for cell in own if cell.split == "test"]
    return own[0] if len(own) == 1 else None


def chosen_variant(cells: Sequence[GridPoint]) -> GridPoint | None:
    """Of one model's validation cells the one to be tested; None where none could be asked."""
    scored = [(estimate(cell.grades)["accuracy"], cell) for cell in cells if cell.grades]
    known = [(accuracy, cell) for accuracy, cell in scored if accuracy is not None]
    return max(known, key=lambda each: each[0])[1] if known else None


def retrieval_table(rows: Sequence[RetrievalRow]) -> dict[str, Any]:
    """Recall at several k and the mean reciprocal rank: of the document, and of the answer."""
    answers = [(row.answer, row.document_id) for row in rows if row.answer is not None]
    return {
        "document": _ranks([(row.document, row.document_id) for row in rows]),
        "answer": _ranks(answers) if answers else None,
        "answers_in_no_chunk": sum(found.relevant == 0 for found, _ in answers),
    }


def _ranks(found: Sequence[tuple[RetrievalQuality, str]]) -> dict[str, Any]:
    documents = [document for _, document in found]

    def mean(value: Callable[[RetrievalQuality], float]) -> dict[str, float]:
        interval = mean_interval([value(each) for each, _ in found], documents)
        return {"value": interval.mean, "low": interval.low, "high": interval.high}

    recalls = {str(k): mean(lambda each, k=k: each.recall(k)) for k in RECALLS}  # type: ignore[misc]
    return {"n": len(found), "recall": recalls, "mrr": mean(lambda each: each.reciprocal_rank)}


def _models(cells: Sequence[GridPoint]) -> list[str]:
    return list(dict.fromkeys(cell.model for cell in cells))


def _variant(cell: GridPoint) -> dict[str, Any]:
    return {
        "chunk_characters": cell.chunk_characters,
        "shown": cell.shown,
        "order": cell.order,
        "temperature": cell.temperature,
        "split": cell.split,
    }


def _cell_row(
    cell: GridPoint, retrieved: Mapping[int, Mapping[str, Sequence[RetrievalRow]]]
) -> dict[str, Any]:
    row = {
        "model": cell.model,
        **_variant(cell),
        **estimate(cell.grades),
        "left_out": cell.left_out,
    }
    if cell.chunk_characters is None or not cell.grades:
        return row
    found = {each.question_id: each for each in retrieved[cell.chunk_characters][cell.model]}
    return row | {
        "document_found": _by_hit(cell, {i: each.document for i, each in found.items()}),
        "answer_found": _by_hit(cell, {i: r.answer for i, r in found.items() if r.answer}),
    }


def _by_hit(cell: GridPoint, found: Mapping[str, RetrievalQuality]) -> dict[str, Any] | None:
    """Accuracy where it was among the chunks shown, and where not."""
    known = [grade for grade in cell.grades if grade.question_id in found]
    if not known:
        return None
    hits = {grade.question_id: found[grade.question_id].recall(cell.shown) > 0 for grade in known}
    return {
        "hit": estimate(grade for grade in known if hits[grade.question_id]),
        "miss": estimate(grade for grade in known if not hits[grade.question_id]),
    }


def _gains(cells: Mapping[str, GridPoint], before: Mapping[str, Sequence[Grade]]) -> dict[str, Any]:
    """What each model gains on the same questions; without those that were asked one way only."""
    gains = {}
    for name, cell in cells.items():
        other = {grade.question_id: grade for grade in before.get(name, ())}
        both = [grade for grade in cell.grades if grade.question_id in other]
        found = difference(both, [other[grade.question_id] for grade in both]) if both else None
        if found:
            gains[name] = found
    return gains


def write_retrieval(path: Path, rows: Sequence[RetrievalRow]) -> None:
    """Write rows atomically, as Parquet."""
    import pyarrow as pa

    ranks = pa.list_(pa.int32())
    columns = {
        "question_id": pa.string(),
        "document_id": pa.string(),
        "document_ranks": ranks,
        "document_chunks": pa.int32(),
        "answer_ranks": ranks,
        "answer_chunks": pa.int32(),
    }
    write_parquet(path, [_flat(row) for row in rows], pa.schema(columns.items()))


def read_retrieval(path: Path) -> list[RetrievalRow]:
    """Read what `write_retrieval` wrote."""
    return [
        RetrievalRow(
            row["question_id"],
            row["document_id"],
            RetrievalQuality(tuple(row["document_ranks"]), row["document_chunks"]),
            None
            if row["answer_ranks"] is None
            else RetrievalQuality(tuple(row["answer_ranks"]), row["answer_chunks"]),
        )
        for row in read_parquet(path)
    ]


def _flat(row: RetrievalRow) -> dict[str, Any]:
    return {
        "question_id": row.question_id,
        "document_id": row.document_id,
        "document_ranks": list(row.document.ranks),
        "document_chunks": row.document.relevant,
        "answer_ranks": None if row.answer is None else list(row.answer.ranks),
        "answer_chunks": None if row.answer is None else row.answer.relevant,
    }
