from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from steep.core.files import read_rows, write_rows
from steep.corpus.passage import Passage, RejectedText, TextRow, read_passages, stream_rows

PASSAGES = (
    Passage("documents:a", "Raw text here.", "a", None, 0, "documents", (), 3),
    Passage("c1", "Zwei W\u00f6rter", "a", "c1", 0, "entigraph", ("Quell", "Marlin"), 2),
)


def test_passages_come_back_as_they_were(tmp_path: Path) -> None:
    write_rows(tmp_path / "passages.parquet", PASSAGES, Passage)
    assert read_passages(tmp_path / "passages.parquet") == PASSAGES
    assert [*stream_rows(tmp_path / "passages.parquet", Passage)] == [*PASSAGES]
    assert [*stream_rows(tmp_path / "passages.parquet", TextRow)] == [
        TextRow(each.id, each.recipe, each.text, each.subset) for each in PASSAGES
    ]


def test_the_columns_are_those_that_others_read(tmp_path: Path) -> None:
    write_rows(tmp_path / "passages.parquet", PASSAGES, Passage)
    table = pq.ParquetFile(tmp_path / "passages.parquet").read()
    assert {field.name: str(field.type) for field in table.schema} == {
        "id": "string",
        "text": "string",
        "document_id": "string",
        "call_id": "string",
        "rank": "int64",
        "recipe": "string",
        "subset": "list<element: string>",
        "words": "int64",
    }
    assert table["words"].to_pylist() == [3, 2]


def test_what_was_rejected_comes_back_and_none_is_fine(tmp_path: Path) -> None:
    rows = (RejectedText("c2", "a", "entigraph", "short", "No."),)
    write_rows(tmp_path / "rejected.parquet", rows, RejectedText)
    assert read_rows(tmp_path / "rejected.parquet", RejectedText) == [*rows]
    write_rows(tmp_path / "rejected.parquet", (), RejectedText)
    assert read_rows(tmp_path / "rejected.parquet", RejectedText) == []
    assert [path.name for path in tmp_path.iterdir()] == ["rejected.parquet"]
