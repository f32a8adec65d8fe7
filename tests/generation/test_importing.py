from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from steep.core.calls import Usage
from steep.core.errors import UserError
from steep.generation.importing import import_generations
from steep.ledger.ledger import Ledger

IDS = ["a", "b"]


def row(**fields: Any) -> dict[str, Any]:
    return {
        "document_id": "a",
        "recipe": "rewrite",
        "model": "gpt",
        "sample": 0,
        "text": "A rewritten text.",
        **fields,
    }


def jsonl(*rows: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in rows)


@pytest.mark.parametrize("name", ["texts.jsonl", "texts.jsonl.gz"])
def test_texts_are_imported_once(tmp_path: Path, ledger: Ledger, name: str) -> None:
    data = jsonl(*(row(document_id=d, sample=n) for d in IDS for n in range(3)))
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    first = import_generations(path, IDS, ledger)
    assert (first.rows, first.imported, first.already_there) == (6, 6, 0)
    again = import_generations(path, IDS, ledger)
    assert (again.rows, again.imported, again.already_there) == (6, 0, 6)
    records = list(ledger.imported())
    assert [(r.document_id, r.sample) for r in records] == [(d, n) for d in IDS for n in range(3)]
    assert {(r.text, r.recipe, r.model, r.status) for r in records} == {
        ("A rewritten text.", "rewrite", "gpt", "done")
    }
    assert (ledger.usage().known_usd, ledger.usage().unpriced_usage) == (0.0, Usage())


def test_a_row_that_occurs_twice_is_already_there(tmp_path: Path, ledger: Ledger) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_bytes(jsonl(row(), row(), row(text="Another.")))
    counts = import_generations(path, IDS, ledger)
    assert (counts.imported, counts.already_there) == (2, 1)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{not json}", "no valid JSON"),
        (b"\xff\xfe{}", "no valid JSON"),
        (b"[1]", "expected an object, found list"),
        (jsonl({"document_id": "a"}), "no 'recipe'"),
        (jsonl(row(sample="0")), "'sample' must be int, found '0'"),
        (jsonl(row(sample=True)), "'sample' must be int"),
        (jsonl(row(text=None)), "'text' must be str, found None"),
        (jsonl(row(text="\ud800")), "half a character"),
        (jsonl(row(recipe=" ")), "'recipe' is empty"),
        (jsonl(row(recipe="documents")), "which stands for the raw documents"),
    ],
)
def test_a_malformed_row_is_named_and_the_others_are_imported(
    tmp_path: Path, ledger: Ledger, line: bytes, reason: str
) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_bytes(jsonl(row()) + b"\n" + line.strip() + b"\n" + jsonl(row(sample=1)))
    counts = import_generations(path, IDS, ledger)
    assert (counts.rows, counts.imported, counts.malformed) == (3, 2, 1)
    (problem,) = counts.problems
    assert problem.startswith(f"{path}:3: ")
    assert reason in problem


def test_numbers_as_pandas_writes_them_and_a_byte_order_mark_are_understood(
    tmp_path: Path, ledger: Ledger
) -> None:
    path = tmp_path / "texts.jsonl"
    deep = b'{"a":' * 50_000 + b"\n"
    odd = jsonl(row(sample=2.0), row(sample=2**70), row(sample=-(2**70)), row(sample=float("nan")))
    path.write_bytes(b"\xef\xbb\xbf" + odd + deep + jsonl(row()))
    counts = import_generations(path, IDS, ledger)
    assert (counts.imported, counts.malformed) == (2, 4)
    assert [record.sample for record in ledger.imported()] == [0, 2]
    assert "63 bits" in counts.problems[0]


def test_texts_on_unknown_documents_are_counted(tmp_path: Path, ledger: Ledger) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_bytes(jsonl(*(row(document_id=f"x{n}") for n in range(30)), row()))
    counts = import_generations(path, IDS, ledger)
    assert (counts.imported, counts.unknown_document, counts.malformed) == (1, 30, 0)
    assert len(counts.problems) == 10
    assert "unknown document 'x0'" in counts.problems[0]


def test_empty_and_refused_texts_keep_their_status(tmp_path: Path, ledger: Ledger) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_bytes(jsonl(row(text=" "), row(text="I'm sorry, but I can't assist with that.")))
    import_generations(path, IDS, ledger)
    assert sorted(record.status for record in ledger.imported()) == ["empty", "refused"]


def test_files_that_cannot_be_read(tmp_path: Path, ledger: Ledger) -> None:
    with pytest.raises(UserError, match="no such file"):
        import_generations(tmp_path / "nowhere.jsonl", IDS, ledger)
    plain = tmp_path / "plain.jsonl.gz"
    plain.write_bytes(jsonl(row()))
    with pytest.raises(UserError, match="cannot be read to its end"):
        import_generations(plain, IDS, ledger)


def test_a_file_that_breaks_off_keeps_what_came_before(tmp_path: Path, ledger: Ledger) -> None:
    data = jsonl(*(row(sample=n, text=f"{n} {n * n} {n**3}") for n in range(5000)))
    packed = gzip.compress(data)
    path = tmp_path / "texts.jsonl.gz"
    path.write_bytes(packed[: len(packed) * 3 // 4])
    with pytest.raises(UserError, match="cannot be read to its end"):
        import_generations(path, IDS, ledger)
    kept = ledger.totals()["done"]
    assert kept >= 1000
    path.write_bytes(packed)
    counts = import_generations(path, IDS, ledger)
    assert (counts.imported, counts.already_there) == (5000 - kept, kept)
