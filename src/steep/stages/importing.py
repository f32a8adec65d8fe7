"""Texts that somebody else generated enter the project's ledger."""

from __future__ import annotations

from pathlib import Path

from steep.config import Config
from steep.core.artifacts import Project
from steep.generation.importing import ImportCounts, import_generations
from steep.ledger.ledger import Ledger
from steep.stages import documents


def run(config: Config, project: Project, generations: Path) -> ImportCounts:
    """Import a file of texts about the documents of the project; known ones are left out."""
    known = {document.whole_id for document in documents.peek(config, project)}
    with Ledger(project.ledger_path) as ledger:
        return import_generations(generations, known, ledger)
