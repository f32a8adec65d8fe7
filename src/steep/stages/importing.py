"""Texts that somebody else generated enter the project's ledger."""

from __future__ import annotations

from pathlib import Path

from steep.config import Config
from steep.core.artifacts import Project
from steep.generation.importing import ImportCounts, import_generations
from steep.generation.importing_corpus import import_corpus
from steep.ledger.ledger import Ledger
from steep.stages import documents


def run(config: Config, project: Project, path: Path, *, is_corpus: bool = False) -> ImportCounts:
    """Import texts about the documents of the project; those that are already there are left out.

    Args:
        config: The configuration.
        project: The project.
        path: A file of texts, or the directory of an exported corpus.
        is_corpus: Which of these it is.
    """
    import_texts = import_corpus if is_corpus else import_generations
    known = {document.whole_id for document in documents.peek(config, project)}
    with Ledger(project.ledger_path) as ledger:
        return import_texts(path, known, ledger)
