"""Documents as an artifact: read, cleaned, split, and written as one JSON object per line."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from steep.core.artifacts import MANIFEST, Artifact, Identity, Project, build
from steep.core.files import read_jsonl, write_json, write_jsonl
from steep.core.formatting import plural
from steep.core.ids import stable_hash, stable_hash_of_list
from steep.core.token_counts import ESTIMATE, TokenCounter
from steep.core.words import count_words
from steep.documents.config import DocumentsConfig
from steep.documents.document import Document, Reading, reason_lines
from steep.documents.extraction_cache import DIRECTORY_NAME as EXTRACTED
from steep.documents.extraction_cache import cached_extraction
from steep.documents.reading import read_documents
from steep.documents.split import split_document, split_documents
from steep.documents.split_tokens import TokenSplit, split_by_structure

log = logging.getLogger("steep")

STAGE, VERSION = "documents", 2
DOCUMENTS_NAME = "documents.jsonl"
SHOWN_REASONS = 5


def build_documents(
    project: Project, settings: DocumentsConfig, counter: TokenCounter = ESTIMATE
) -> Artifact:
    """Read, clean and split the documents.

    The identity is what was read, not the files: the project itself may lie among them, and its
    reports and logs change with every run. What was skipped changes no text, so that a file of an
    unknown kind costs no training again; the manifest lists what the last run skipped.

    Raises:
        UserError: There is no document at `documents.path`.
    """
    reading = read_sources(project, settings)
    identity = _identity(reading, settings, counter)
    before = project.find(STAGE, identity.hash8)
    artifact = build(
        project,
        identity,
        lambda directory: _write(
            directory, reading, split_as(reading.documents, settings, counter)
        ),
    )
    artifact = _with_skipped(project, artifact, reading)
    _log_skipped(artifact, reading, is_known=before == artifact)
    return artifact


def find_documents(
    project: Project, settings: DocumentsConfig, counter: TokenCounter = ESTIMATE
) -> Artifact | None:
    """Return the artifact of `build_documents` if it is finished; nothing is written."""
    identity = _identity(read_sources(project, settings), settings, counter)
    return project.find(STAGE, identity.hash8)


def _identity(reading: Reading, settings: DocumentsConfig, counter: TokenCounter) -> Identity:
    fields: dict[str, Any] = {
        "documents.content": stable_hash_of_list(map(asdict, reading.documents), 16),
        "documents.skipped": stable_hash([], 16),  # so that older artifacts keep their names
        "documents.split_words": settings.split_words,
    }
    if settings.split_tokens is not None:  # else older artifacts keep their names
        fields |= {
            "documents.split_tokens": settings.split_tokens,
            "documents.split_overlap": settings.split_overlap,
            "documents.tokenizer": counter.tokenizer,
        }
    return Identity(STAGE, VERSION, fields, {})


def _log_skipped(artifact: Artifact, reading: Reading, is_known: bool) -> None:
    """Log what was skipped and why; only the count if an earlier run has logged it."""
    if is_known:
        if reading.skipped:
            number = plural(reading.left_out, "skipped file")
            log.warning("  %s: steep documents --skipped lists the reasons", number)
        return
    lines = reason_lines(reading.skipped)
    for line in lines[:SHOWN_REASONS]:
        log.warning("  %s", line)
    if (more := len(lines) - SHOWN_REASONS) > 0:
        log.warning("  and %s, see %s", plural(more, "more reason"), artifact.path / MANIFEST)


def preview_documents(
    project: Project, settings: DocumentsConfig, counter: TokenCounter = ESTIMATE
) -> tuple[Document, ...]:
    """Return the documents that `build_documents` would write, without writing anything."""
    return split_as(read_sources(project, settings).documents, settings, counter)


def write_documents(path: Path, documents: Sequence[Document]) -> None:
    """Write documents atomically, one JSON object per line."""
    write_jsonl(path, map(asdict, documents))


def load_documents(path: Path) -> tuple[Document, ...]:
    """Read a file that `write_documents` wrote."""
    return tuple(Document(**row) for row in read_jsonl(path))


def documents_of(artifact: Artifact) -> tuple[Document, ...]:
    """Return the documents of an artifact: wholes, or parts where they were split."""
    return load_documents(artifact.path / DOCUMENTS_NAME)


def read_sources(project: Project, settings: DocumentsConfig) -> Reading:
    """Read the documents whole, without the project's own reports if it lies among them.

    Raises:
        UserError: There is no document at `documents.path`.
    """
    with cached_extraction(project.store / EXTRACTED):
        return read_documents(settings.path, settings.columns, exclude=(project.root / "runs",))


def split_as(
    documents: Sequence[Document], settings: DocumentsConfig, counter: TokenCounter
) -> tuple[Document, ...]:
    """Split those documents that are longer than the settings allow."""
    if settings.split_tokens is not None:
        split = TokenSplit(settings.split_tokens, settings.split_overlap, counter)
        return split_documents(documents, lambda each: split_by_structure(each, split))
    if (max_words := settings.split_words) is not None:
        return split_documents(documents, lambda each: split_document(each, max_words))
    return tuple(documents)


def _with_skipped(project: Project, artifact: Artifact, reading: Reading) -> Artifact:
    """Bring up to date what the manifest of a finished artifact lists as skipped."""
    before = artifact.manifest
    now = {**before, **_skipped(reading)}
    now["counts"] = {**before["counts"], **now["counts"]}
    if now == before or not project.may_make(STAGE):
        return artifact
    write_json(artifact.path / MANIFEST, now)
    return replace(artifact, manifest=now)


def _skipped(reading: Reading) -> dict[str, Any]:
    return {
        "counts": {"files": reading.files, "skipped": reading.left_out},
        "skipped": [asdict(skipped) for skipped in reading.skipped],
    }


def _write(directory: Path, reading: Reading, parts: Sequence[Document]) -> dict[str, Any]:
    write_documents(directory / DOCUMENTS_NAME, parts)
    skipped = _skipped(reading)
    counts = {"documents": len(reading.documents), "parts": len(parts), **skipped["counts"]}
    words = sum(count_words(part.own_text) for part in parts)
    return {**skipped, "counts": counts, "words": words}
