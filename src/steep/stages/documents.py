"""Stage 1: files become documents."""

from __future__ import annotations

from steep.config import Config
from steep.core.artifacts import Artifact, Project
from steep.documents.document import Document
from steep.documents.store import build_documents, documents_of, preview_documents


def run(config: Config, project: Project) -> Artifact:
    """Read, clean and split the documents."""
    return build_documents(project, config.documents)


def load(artifact: Artifact) -> tuple[Document, ...]:
    """Return the documents of the artifact: wholes, or parts if they were split."""
    return documents_of(artifact)


def peek(config: Config, project: Project) -> tuple[Document, ...]:
    """Return the documents that `run` would write, without writing anything."""
    return preview_documents(project, config.documents)
