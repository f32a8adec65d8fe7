"""Stage 1: files become documents."""

from __future__ import annotations

from typing import NamedTuple

from steep.config import Config
from steep.core.artifacts import Artifact, Project
from steep.core.token_counts import ESTIMATE, TokenCounter, token_counter
from steep.documents.document import Document, Reading
from steep.documents.store import (
    build_documents,
    documents_of,
    find_documents,
    preview_documents,
    read_sources,
    split_as,
)

TOKENIZER_NAME = "tokenizer.json"


class ReadDocuments(NamedTuple):
    """The documents of a project, whole and in parts, and the counter of their tokens."""

    reading: Reading
    parts: tuple[Document, ...]
    counter: TokenCounter


def run(config: Config, project: Project) -> Artifact:
    """Read, clean and split the documents."""
    return build_documents(project, config.documents, counter_of(config, project))


def load(artifact: Artifact) -> tuple[Document, ...]:
    """Return the documents of the artifact: wholes, or parts if they were split."""
    return documents_of(artifact)


def peek(config: Config, project: Project) -> tuple[Document, ...]:
    """Return the documents that `run` would write, without writing anything."""
    return preview_documents(project, config.documents, counter_of(config, project))


def find(config: Config, project: Project) -> Artifact | None:
    """Return the documents of `run` if they are finished, without writing anything."""
    return find_documents(project, config.documents, counter_of(config, project))


def read(config: Config, project: Project) -> ReadDocuments:
    """Read and split the documents, without writing anything.

    Raises:
        UserError: There is no document at `documents.path`.
    """
    counter = counter_of(config, project)
    reading = read_sources(project, config.documents)
    return ReadDocuments(reading, split_as(reading.documents, config.documents, counter), counter)


def counter_of(config: Config, project: Project) -> TokenCounter:
    """Return the token counter for splitting documents.

    It uses the tokenizer of the generator if `generate.model` is a directory that has one, and
    estimates otherwise: a tokenizer in a cache is not on every machine, and parts would differ.
    """
    path = project.root / config.generate.model / TOKENIZER_NAME
    if config.documents.split_tokens is None or not path.is_file():
        return ESTIMATE
    return token_counter(path)
