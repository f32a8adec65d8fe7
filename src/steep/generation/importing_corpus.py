"""Import a corpus that `steep export corpus` wrote, at no cost.

Texts, recipes, models, subjects and order are kept, so that a project with the same documents and
settings builds the same corpus and the same token shards from it: the ids of the passages, which
decide what is held out, begin with those of the original calls.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from steep.core.calls import OF_DOCUMENT
from steep.core.errors import UserError
from steep.generation.importing import BadRow, ImportCounts, ImportRow, field_of, record_rows
from steep.ledger.ledger import Ledger
from steep.ledger.records import ImportedText

DATA = "data/*.parquet"
COLUMNS = ("id", "document_id", "recipe", "model", "subset", "text")
ROWS_READ = 1000


def import_corpus(directory: Path, document_ids: Collection[str], ledger: Ledger) -> ImportCounts:
    """Record the passages of an exported corpus on the documents with these ids.

    Raises:
        UserError: There is no such corpus, a file of it cannot be read, or not one passage of it
            could be used.
    """
    files = sorted(directory.glob(DATA))
    if not files:
        raise UserError(
            "There is no exported corpus.",
            where=directory,
            expected=f"a directory with {DATA}, as steep export corpus writes it",
            found="no such directory" if not directory.is_dir() else "none of these files",
        )
    expected = "document_id, " + ", ".join(name for name in COLUMNS if name != "document_id")
    return record_rows(directory, _rows(files), document_ids, ledger, expected)


def _rows(files: list[Path]) -> Iterator[ImportRow]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    position = 0
    for path in files:
        try:
            file = pq.ParquetFile(path)
            _check_columns(path, file.schema_arrow.names)
            for row, found in enumerate(_read(file), start=1):
                yield ImportRow(f"{path}:{row}", partial(_parse, found, position))
                position += 1
        except (OSError, pa.ArrowException) as error:
            raise UserError(
                "A file of the corpus cannot be read.",
                where=path,
                found=error,
                hint="import a whole copy; rows that are already there are not imported twice",
            ) from error


def _read(file: Any) -> Iterator[dict[str, Any]]:
    for batch in file.iter_batches(ROWS_READ, columns=list(COLUMNS)):
        yield from batch.to_pylist()


def _check_columns(path: Path, names: Collection[str]) -> None:
    if missing := [name for name in COLUMNS if name not in names]:
        raise UserError(
            "A file of the corpus lacks a column.",
            where=path,
            expected=", ".join(COLUMNS),
            found=f"no {', '.join(missing)}",
        )


def _parse(row: dict[str, Any], position: int) -> ImportedText:
    passage_id: str = field_of(row, "id", str)
    if OF_DOCUMENT not in passage_id:
        raise BadRow(f"'id' must be a call and a document with {OF_DOCUMENT} between them")
    return ImportedText(
        document_id=field_of(row, "document_id", str),
        recipe=field_of(row, "recipe", str),
        model=field_of(row, "model", str),
        sample=position,
        text=field_of(row, "text", str),
        subset=tuple(row["subset"] or ()),
        passage_id=passage_id,
    )
