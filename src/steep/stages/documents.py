"""Stage 1: files become documents."""

from __future__ import annotations

from steep.config import Config
from steep.core.artifacts import Artifact, Project
from steep.core.token_counts import TokenCounter, token_counter
from steep.documents.document import Document
from steep.documents.store import build_documents, documents_of, preview_documents

TOKENIZER_NAME = "tokenizer.json"


def run(config: Config, project: Project) -> Artifact:
    """Read, clean and split the documents."""
    return build_documents(project, config.documents, counter_of(config, project))


def load(artifact: Artifact) -> tuple[Document, ...]:
    """Return the documents of the artifact: wholes, or parts if they were split."""
    return documents_of(artifact)


def peek(config: Config, project: Project) -> tuple[Document, ...]:
    """Return the documents that `run` would write, without writing anything."""
    return preview_documents(project, config.documents, counter_of(config, project))


def counter_of(config: Config, project: Project) -> TokenCounter:
    """Return what counts the tokens of documents that are split by tokens.

    It is the tokenizer of the generator if `generate.model` is a directory that has one. All else
    is estimated: what a cache or a server knows differs between machines, and so would the parts.
    """
    path = project.root / config.generate.model / TOKENIZER_NAME
    if config.documents.split_tokens is None or not path.is_file():
        return TokenCounter()
    return token_counter(path)
