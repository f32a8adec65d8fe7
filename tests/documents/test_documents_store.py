from __future__ import annotations

import json
from pathlib import Path

import pytest

from steep.core.artifacts import MANIFEST, Project
from steep.documents.config import DocumentsConfig
from steep.documents.document import Document
from steep.documents.split import split_document
from steep.documents.split_tokens import TokenSplit, split_by_structure
from steep.documents.store import build_documents, load_documents, write_documents


def test_documents_come_back_as_they_were(tmp_path: Path) -> None:
    long = Document("a/b", "Größe", "Wort für Wort.\n\n" * 40, "Lorn, Hedda", 1920, "a.md")
    odd = Document("c", "Separators", "one\u2028two\x85three \N{PILE OF POO}")
    documents = (odd, *split_document(long, 50))
    write_documents(tmp_path / "documents.jsonl", documents)
    assert load_documents(tmp_path / "documents.jsonl") == documents


def test_a_file_that_is_skipped_makes_no_other_artifact(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# A\n\nText.")
    project, settings = Project(tmp_path), DocumentsConfig(path=tmp_path / "docs")
    before = build_documents(project, settings)
    (tmp_path / "docs" / "photo.jpg").write_bytes(b"x")
    after = build_documents(project, settings)
    assert after.path == before.path
    manifest = json.loads((after.path / MANIFEST).read_text())
    assert manifest == after.manifest
    assert manifest["counts"] == {"files": 2, "documents": 1, "parts": 1, "skipped": 1}
    assert [each["source"] for each in manifest["skipped"]] == ["photo.jpg"]
    assert "photo.jpg" in caplog.text, "named in the run that finds it"
    caplog.clear()
    assert build_documents(project, settings).path == before.path
    assert "1 skipped file: steep documents --skipped" in caplog.text
    assert "photo.jpg" not in caplog.text


def test_parts_by_structure_come_back_as_they_were(tmp_path: Path) -> None:
    text = "\n\n".join(f"## {n} Leave\n\n{'They want days off. ' * 30}" for n in range(9))
    parts = split_by_structure(Document("a", "A", text), TokenSplit(100, overlap=20))
    write_documents(tmp_path / "documents.jsonl", parts)
    assert load_documents(tmp_path / "documents.jsonl") == parts
    assert any(part.own_start for part in parts)
