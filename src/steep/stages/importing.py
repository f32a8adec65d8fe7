"""Texts that somebody else generated enter the project's ledger."""

from __future__ import annotations

from pathlib import Path

from steep.config import Config
from steep.core.artifacts import Project
from steep.core.errors import UserError
from steep.generation.importing import ImportCounts, import_generations
from steep.ledger.ledger import Ledger
from steep.stages import documents

SHOWN_IDS = 5


def run(config: Config, project: Project, generations: Path) -> ImportCounts:
    """Import a file of texts on the documents of the project; those that are there are not again.

    Raises:
        UserError: The file cannot be read to its end, or not one row of it could be used.
    """
    known = {document.whole_id for document in documents.peek(config, project)}
    with Ledger(project.ledger_path) as ledger:
        counts = import_generations(generations, known, ledger)
    if counts.rows == counts.malformed + counts.unknown_document:
        some = ", ".join(sorted(known)[:SHOWN_IDS])
        raise UserError(
            "Not one row could be used." if counts.rows else "There is no row in this file.",
            where=generations,
            expected="document_id (one of this project's: "
            f"{some}{', ...' if len(known) > SHOWN_IDS else ''}), recipe, model, sample, text",
            found="\n            ".join(counts.problems) or None,
        )
    return counts
