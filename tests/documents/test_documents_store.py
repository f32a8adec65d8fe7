from __future__ import annotations

from pathlib import Path

from steep.documents.document import Document
from steep.documents.split import split_document
from steep.documents.split_tokens import TokenSplit, split_by_structure
from steep.documents.store import load_documents, write_documents


def test_documents_come_back_as_they_were(tmp_path: Path) -> None:
    long = Document("a/b", "Größe", "Wort für Wort.\n\n" * 40, "Lorn, Hedda", 1920, "a.md")
    odd = Document("c", "Separators", "one\u2028two\x85three \N{PILE OF POO}")
    documents = (odd, *split_document(long, 50))
    write_documents(tmp_path / "documents.jsonl", documents)
    assert load_documents(tmp_path / "documents.jsonl") == documents


def test_parts_by_structure_come_back_as_they_were(tmp_path: Path) -> None:
    text = "\n\n".join(f"## {n} Leave\n\n{'They want days off. ' * 30}" for n in range(9))
    parts = split_by_structure(Document("a", "A", text), TokenSplit(100, overlap=20))
    write_documents(tmp_path / "documents.jsonl", parts)
    assert load_documents(tmp_path / "documents.jsonl") == parts
    assert any(part.own_start for part in parts)
