"""A corpus on disk: `passages.parquet` and `rejected.parquet`, each written atomically."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from steep.core.files import read_parquet, write_bytes
from steep.corpus.passage import Passage, RejectedText

PASSAGES_NAME = "passages.parquet"
REJECTED_NAME = "rejected.parquet"
STREAMED_ROWS = 256

_LIST = "list<string>"
_PASSAGE_COLUMNS = {
    "id": "string",
    "text": "string",
    "document_id": "string",
    "call_id": "string",
    "rank": "int64",
    "recipe": "string",
    "subset": _LIST,
    "words": "int64",
}
_REJECTED_COLUMNS = dict.fromkeys(("call_id", "document_id", "recipe", "reason", "text"), "string")


class TextRow(NamedTuple):
    """What tokenizing needs of a passage."""

    id: str
    recipe: str
    text: str


def write_passages(path: Path, passages: Sequence[Passage]) -> None:
    """Write passages with their provenance and their number of words."""
    _write(path, passages, _PASSAGE_COLUMNS)


def read_passages(path: Path) -> tuple[Passage, ...]:
    """Read what `write_passages` wrote, in the same order."""
    rows = read_parquet(path)
    return tuple(
        Passage(
            **{key: value for key, value in row.items() if key not in ("words", "subset")},
            subset=tuple(row["subset"]),
        )
        for row in rows
    )


def stream_texts(path: Path) -> Iterator[TextRow]:
    """Read id, recipe and text of each passage in order, a few hundred in memory at once."""
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(path).iter_batches(STREAMED_ROWS, columns=["id", "recipe", "text"]):
        columns = (batch.column(name).to_pylist() for name in TextRow._fields)
        yield from map(TextRow._make, zip(*columns, strict=True))


def write_rejected(path: Path, rows: Sequence[RejectedText]) -> None:
    """Write what was rejected, with reasons and texts."""
    _write(path, rows, _REJECTED_COLUMNS)


def read_rejected(path: Path) -> tuple[RejectedText, ...]:
    """Read what `write_rejected` wrote."""
    return tuple(RejectedText(**row) for row in read_parquet(path))


def _write(path: Path, rows: Sequence[Passage | RejectedText], columns: dict[str, str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"string": pa.string(), "int64": pa.int64(), _LIST: pa.list_(pa.string())}
    arrays = {
        name: pa.array([getattr(row, name) for row in rows], kinds[kind])
        for name, kind in columns.items()
    }
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.table(arrays), buffer, compression="zstd")
    write_bytes(path, buffer.getvalue().to_pybytes())
