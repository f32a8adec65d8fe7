"""Rows of the summarization study, as Parquet: texts, their passages, and claims with verdicts.

They hold what was sent and what came back, so that answers can be read and counted again without
asking anybody. A human summary is a row like any other, with `HUMAN` as its writer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from steep.core.files import read_parquet, write_parquet

HUMAN = "human"


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One text about one document.

    Attributes:
        writer: What the tables call the model, or `HUMAN`.
        document_id: The whole document that it is about.
        kind: "short" or "long"; `HUMAN` for a human one.
        number: Which of the writer's texts of this kind on this document, counted from 0.
        prompt: As it was sent; empty for a human one.
        text: What came back.
        finish_reason: "stop" or "length" as a rule; "error" where nothing came back.
        seed: Of its random numbers.
    """

    writer: str
    document_id: str
    kind: str
    number: int
    prompt: str
    text: str
    finish_reason: str
    seed: int


@dataclass(frozen=True, slots=True)
class PassageRow:
    """A piece of a text, as the judge took it apart.

    Attributes:
        writer: Of the text; so are the next three.
        document_id: See `SummaryRow`.
        kind: See `SummaryRow`.
        number: See `SummaryRow`.
        passage: Which piece of the text, counted from 0.
        text: The piece.
        judge: Who took it apart.
        claims: What it claims; empty also where no list could be read.
        why_not: Why no list could be read; None where one was.
        output: What the judge wrote.
        seed: Of the judge's random numbers.
    """

    writer: str
    document_id: str
    kind: str
    number: int
    passage: int
    text: str
    judge: str
    claims: tuple[str, ...]
    why_not: str | None
    output: str
    seed: int


@dataclass(frozen=True, slots=True)
class ClaimRow:
    """One claim of one text, with its verdict.

    Attributes:
        writer: Of the text; so are the next three.
        document_id: See `SummaryRow`.
        kind: See `SummaryRow`.
        number: See `SummaryRow`.
        claim_number: Which claim of the text, counted from 0.
        claim: In the judge's words.
        repeats: How often more the text makes it; those are not judged or counted again.
        judge: Who judged it.
        true: Whether the source bears it out; None where no verdict could be read.
        salient: Whether a true one matters; None for a false one and where it could not be read.
        why_not: Why the verdict, or that part of it, could not be read.
        shown_as: Its number among the claims of its call.
        prompt_hash: Of the judge's prompt; claims of one call have the same.
        output: What the judge wrote about all claims of the call.
        seed: Of the judge's random numbers.
    """

    writer: str
    document_id: str
    kind: str
    number: int
    claim_number: int
    claim: str
    repeats: int
    judge: str
    true: bool | None
    salient: bool | None
    why_not: str | None
    shown_as: int
    prompt_hash: str
    output: str
    seed: int


Row = TypeVar("Row", SummaryRow, PassageRow, ClaimRow)


class TextKey(NamedTuple):
    """What names a text among all."""

    writer: str
    document_id: str
    kind: str
    number: int


def text_of(row: SummaryRow | PassageRow | ClaimRow) -> TextKey:
    """The text that a row is, or is about."""
    return TextKey(row.writer, row.document_id, row.kind, row.number)


def write_rows(path: Path, kind: type[Row], rows: Sequence[Row]) -> None:
    """Write rows of one kind atomically."""
    write_parquet(path, [asdict(row) for row in rows], _schema(kind))


def read_rows(path: Path, kind: type[Row]) -> list[Row]:
    """Read what `write_rows` wrote."""
    return [kind(**_values(row)) for row in read_parquet(path)]


def _values(row: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}


def _schema(kind: type[Row]) -> Any:
    import pyarrow as pa

    types = {
        "str": pa.string(),
        "str | None": pa.string(),
        "int": pa.int64(),
        "bool | None": pa.bool_(),
        "tuple[str, ...]": pa.list_(pa.string()),
    }
    return pa.schema([(field.name, types[str(field.type)]) for field in fields(kind)])
