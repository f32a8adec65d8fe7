"""Stage 1: files become documents."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from steep.config import Config
from steep.core.artifacts import MANIFEST, Artifact, Identity, Project, build
from steep.core.ids import stable_hash
from steep.core.words import count_words
from steep.documents.document import Document, Reading
from steep.documents.reading import read_documents
from steep.documents.split import split_documents
from steep.documents.store import DOCUMENTS_NAME, documents_of, write_documents

log = logging.getLogger("steep")

VERSION = 2
SHOWN_SKIPPED = 5


def run(config: Config, project: Project) -> Artifact:
    """Read, clean and split the documents.

    What was read is the identity, not the files: the project itself may lie among them, and its
    reports and logs change with every run.

    Raises:
        UserError: There is no document where the configuration says.
    """
    reading = _read(config, project)
    fields = {
        "documents.content": stable_hash([*map(asdict, reading.documents)], 16),
        "documents.skipped": stable_hash([*map(asdict, reading.skipped)], 16),
        "documents.split_words": config.documents.split_words,
    }
    artifact = build(
        project,
        Identity("documents", VERSION, fields, {}),
        lambda directory: _make(directory, reading, config.documents.split_words),
    )
    for skipped in reading.skipped[:SHOWN_SKIPPED]:
        log.warning("  skipped %s: %s", skipped.source, skipped.reason)
    if (more := len(reading.skipped) - SHOWN_SKIPPED) > 0:
        log.warning("  and %d more, see %s", more, artifact.path / MANIFEST)
    return artifact


def load(artifact: Artifact) -> tuple[Document, ...]:
    """The documents of the artifact: wholes, or parts where they were split."""
    return documents_of(artifact)


def peek(config: Config, project: Project) -> tuple[Document, ...]:
    """What `run` would make, without writing anything."""
    return _parts(_read(config, project).documents, config.documents.split_words)


def _read(config: Config, project: Project) -> Reading:
    path = config.documents.path
    reading = read_documents(path)
    runs = os.path.realpath(project.root / "runs")  # which, unlike `resolve`, follows any link
    skipped = [
        each
        for each in reading.skipped
        if not Path(os.path.realpath(path / each.source)).is_relative_to(runs)
    ]
    return replace(reading, skipped=tuple(skipped))


def _parts(documents: Sequence[Document], split_words: int | None) -> tuple[Document, ...]:
    if split_words is None:
        return tuple(documents)
    return split_documents(documents, split_words)


def _make(directory: Path, reading: Reading, split_words: int | None) -> dict[str, Any]:
    documents = _parts(reading.documents, split_words)
    write_documents(directory / DOCUMENTS_NAME, documents)
    return {
        "counts": {
            "files": reading.files,
            "documents": len(reading.documents),
            "parts": len(documents),
            "skipped": len(reading.skipped),
        },
        "words": sum(count_words(document.text) for document in documents),
        "skipped": [asdict(skipped) for skipped in reading.skipped],
    }
