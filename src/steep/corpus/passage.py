"""The types of this package and their files: a `Candidate` becomes a `Passage` or is rejected."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar, get_type_hints

from steep.core.calls import OF_DOCUMENT as OF_DOCUMENT
from steep.core.calls import Status
from steep.core.files import read_rows

PASSAGES_NAME = "passages.parquet"  # rows of `Passage`
REJECTED_NAME = "rejected.parquet"  # rows of `RejectedText`
STREAMED_ROWS = 256
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A generated or imported text before filtering."""

    text: str
    document_id: str  # the document, or the part of it, that the call was about
    call_id: str
    recipe: str
    subset: tuple[str, ...] = ()
    status: Status = "done"
    finish_reason: str = "stop"
    rejected: str | None = None  # why the recipe itself does not accept it
    prompt: tuple[str, ...] = ()  # parts of the messages that asked for it; empty if unknown
    quotes: bool = False  # repeats the prompt or the document on purpose
    is_passage: bool = False  # of a corpus that was imported; its text stays as it is


@dataclass(frozen=True, slots=True)
class Passage:
    """A clean training text with its provenance.

    `rank` orders the passages of one recipe within a whole document, so that the first k of every
    document are a nested, document-balanced subset. A raw text has no call.
    """

    id: str
    text: str
    document_id: str  # of the whole document
    call_id: str | None
    rank: int
    recipe: str
    subset: tuple[str, ...]
    words: int


@dataclass(frozen=True, slots=True)
class RejectedText:
    """A rejected candidate, and the reason."""

    call_id: str
    document_id: str
    recipe: str
    reason: str
    text: str


class TextRow(NamedTuple):
    """What tokenizing needs of a passage."""

    id: str
    recipe: str
    text: str
    subset: Sequence[str] = ()


class TextPlace(NamedTuple):
    """The place of a passage among those of its document."""

    id: str
    recipe: str
    document_id: str
    rank: int
    subset: Sequence[str] = ()


class FullText(NamedTuple):
    """A passage with what measuring needs of its provenance."""

    id: str
    recipe: str
    document_id: str
    call_id: str | None
    words: int
    text: str


def read_passages(path: Path) -> tuple[Passage, ...]:
    """Return the passages of a `passages.parquet`, in order."""
    return tuple(read_rows(path, Passage))


def stream_rows(path: Path, kind: type[Row]) -> Iterator[Row]:
    """Read the fields of a type from each row of a file in order, a few hundred in memory at once.

    Args:
        path: A `passages.parquet`.
        kind: `Passage`, or a type with some of its fields; other columns are not read.
    """
    import pyarrow.parquet as pq

    names = list(get_type_hints(kind))
    for batch in pq.ParquetFile(path).iter_batches(STREAMED_ROWS, columns=names):
        columns = (map(_frozen, batch.column(name).to_pylist()) for name in names)
        yield from itertools.starmap(kind, zip(*columns, strict=True))


def _frozen(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value
