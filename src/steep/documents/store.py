"""Documents on disk: one JSON object a line, the artifact of the documents stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from steep.core.artifacts import Artifact
from steep.core.files import read_jsonl, write_jsonl
from steep.documents.document import Document

DOCUMENTS_NAME = "documents.jsonl"


def write_documents(path: Path, documents: Sequence[Document]) -> None:
    """Write `documents.jsonl` atomically."""
    write_jsonl(path, [asdict(document) for document in documents])


def load_documents(path: Path) -> tuple[Document, ...]:
    """Read what `write_documents` wrote."""
    return tuple(Document(**row) for row in read_jsonl(path))


def documents_of(artifact: Artifact) -> tuple[Document, ...]:
    """Return the documents of an artifact: wholes, or parts where they were split."""
    return load_documents(artifact.path / DOCUMENTS_NAME)
