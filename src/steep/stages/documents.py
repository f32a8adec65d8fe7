"""Stage 1: files become documents."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

from steep.config import Config
from steep.documents.document import Document
from steep.documents.reading import read_documents
from steep.documents.split import split_document
from steep.documents.store import load_documents, write_documents
from steep.project import Artifact, Project
from steep.stages.harness import Identity, build

VERSION = 1
NAME = "documents.jsonl"


def run(config: Config, project: Project) -> Artifact:
    """Read, clean and split the documents.

    Raises:
        UserError: There is no document where the configuration says.
    """
    path, split_words = config.documents.path, config.documents.split_words
    fields = {"documents.content": content_hash(path), "documents.split_words": split_words}
    return build(
        project,
        Identity("documents", VERSION, fields, {}),
        lambda directory: _make(directory, path, split_words),
    )


def load(artifact: Artifact) -> tuple[Document, ...]:
    """The documents of the artifact: wholes, or parts where they were split."""
    return tuple(load_documents(artifact.path / NAME))


def content_hash(path: Path) -> str:
    """Hash names and contents of a file or folder, so that a changed file is noticed."""
    digest = hashlib.sha256()
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    for file in files:
        if file.is_file():
            digest.update(file.relative_to(path).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _make(directory: Path, path: Path, split_words: int | None) -> dict[str, Any]:
    reading = read_documents(path)
    documents = [
        part
        for document in reading.documents
        for part in (split_document(document, split_words) if split_words else (document,))
    ]
    write_documents(directory / NAME, documents)
    return {
        "counts": {
            "files": reading.files,
            "documents": len(reading.documents),
            "parts": len(documents),
            "skipped": len(reading.skipped),
        },
        "words": sum(len(document.text.split()) for document in documents),
        "skipped": [asdict(skipped) for skipped in reading.skipped],
    }
