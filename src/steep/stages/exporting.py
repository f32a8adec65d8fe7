"""Export the questions as tasks for other packages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from steep.config import Config
from steep.core.artifacts import Project
from steep.core.errors import UserError
from steep.evaluation.exports import EXPORTS, export_questions
from steep.evaluation.questions import read_questions
from steep.evaluation.results import SkippedQuestion
from steep.stages import documents as documents_stage


@dataclass(frozen=True, slots=True)
class ExportedTasks:
    """An exported folder, its files, and the commands that run it."""

    directory: Path
    files: tuple[str, ...]
    commands: tuple[str, ...]
    questions: int
    skipped: tuple[SkippedQuestion, ...]


def run(
    config: Config, project: Project, what: str, directory: Path, name: str | None = None
) -> ExportedTasks:
    """Export the project's questions, with the prompts of its own evaluation.

    Args:
        config: The configuration.
        project: The project; nothing is written there.
        what: Name of the package, one of `EXPORTS`.
        directory: A new or empty folder, or one of an earlier export.
        name: Name of the task; by default derived from the run's name.

    Raises:
        UserError: There are no questions, or the folder holds other files.
    """
    path = config.evaluate.questions
    if path is None:
        raise UserError(
            "There are no questions to export.",
            where="evaluate.questions",
            expected="a JSONL file, or QuALITY's own format",
            found="null",
        )
    documents = documents_stage.peek(config, project)
    found = read_questions(path, documents)
    by_id = {document.whole_id: document for document in documents}
    question_set = export_questions(name or task_name(config.name), found.questions, by_id)
    exported = EXPORTS[what](directory, question_set)
    return ExportedTasks(
        exported.directory,
        exported.files,
        exported.commands,
        len(found.questions),
        found.skipped,
    )


def task_name(run_name: str) -> str:
    """Return a name that is valid in Python and YAML."""
    return f"steep_{re.sub('[^A-Za-z0-9_]', '_', run_name)}"
