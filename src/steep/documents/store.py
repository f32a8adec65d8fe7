"""Documents as an artifact: read, cleaned, split, and written as one JSON object per line."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from steep.core.artifacts import MANIFEST, Artifact, Identity, Project, build
from steep.core.files import read_jsonl, write_jsonl
from steep.core.ids import stable_hash, stable_hash_of_list
from steep.core.words import count_words
from steep.documents.config import DocumentsConfig
from steep.documents.document import Document, Reading
from steep.documents.reading import read_documents
from steep.documents.split import split_documents

log = logging.getLogger("steep")

VERSION = 2
DOCUMENTS_NAME = "documents.jsonl"
SHOWN_SKIPPED = 5


def build_documents(project: Project, settings: DocumentsConfig) -> Artifact:
    """Read, clean and split the documents.

    The identity is what was read, not the files: the project itself may lie among them, and its
    reports and logs change with every run.

    Raises:
        UserError: There is no document at `documents.path`.
    """
    reading = _read(project, settings)
    fields = {
        "documents.content": stable_hash_of_list(map(asdict, reading.documents), 16),
        "documents.skipped": stable_hash(
            [{"source": each.source, "reason": each.reason} for each in reading.skipped], 16
        ),
        "documents.split_words": settings.split_words,
    }
    artifact = build(
        project,
        Identity("documents", VERSION, fields, {}),
        lambda directory: _write(directory, reading, settings.split_words),
    )
    for each in reading.skipped[:SHOWN_SKIPPED]:
        log.warning("  %s: %s", each.label, each.reason)
    if (more := len(reading.skipped) - SHOWN_SKIPPED) > 0:
        log.warning("  and %d more, see %s", more, artifact.path / MANIFEST)
    return artifact


def preview_documents(project: Project, settings: DocumentsConfig) -> tuple[Document, ...]:
    """Return the documents that `build_documents` would write, without writing anything."""
    return _parts(_read(project, settings).documents, settings.split_words)


def write_documents(path: Path, documents: Sequence[Document]) -> None:
    """Write documents atomically, one JSON object per line."""
    write_jsonl(path, map(asdict, documents))


def load_documents(path: Path) -> tuple[Document, ...]:
    """Read a file that `write_documents` wrote."""
    return tuple(Document(**row) for row in read_jsonl(path))


def documents_of(artifact: Artifact) -> tuple[Document, ...]:
    """Return the documents of an artifact: wholes, or parts where they were split."""
    return load_documents(artifact.path / DOCUMENTS_NAME)


def _read(project: Project, settings: DocumentsConfig) -> Reading:
    """Read the documents, without the project's own reports if it lies among them."""
    return read_documents(settings.path, settings.columns, exclude=(project.root / "runs",))


def _parts(documents: Sequence[Document], split_words: int | None) -> tuple[Document, ...]:
    if split_words is None:
        return tuple(documents)
    return split_documents(documents, split_words)


def _write(directory: Path, reading: Reading, split_words: int | None) -> dict[str, Any]:
    documents = _parts(reading.documents, split_words)
    write_documents(directory / DOCUMENTS_NAME, documents)
    return {
        "counts": {
            "files": reading.files,
            "documents": len(reading.documents),
            "parts": len(documents),
            "skipped": reading.left_out,
        },
        "words": sum(count_words(document.text) for document in documents),
        "skipped": [asdict(skipped) for skipped in reading.skipped],
    }
