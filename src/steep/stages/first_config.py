"""A first steep.yaml for a folder of documents: what `steep init` does."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from steep.config_loading import load_config
from steep.core.errors import UserError
from steep.core.files import write_text
from steep.documents.document import Reading
from steep.documents.reading import read_documents
from steep.evaluation.questions import Questions, read_questions
from steep.stages.template import template


class FirstLook(NamedTuple):
    """What was found where the configuration will look."""

    documents: Reading
    questions: Questions | None


def write_first_config(path: Path, documents: Path, questions: Path | None) -> FirstLook:
    """Read documents and questions once, and write a commented configuration that names them.

    Raises:
        UserError: There is a configuration already, no document, or no question on them.
    """
    if path.exists():
        raise UserError(
            "There is a configuration already.", where=path, hint="edit it, or name another with -c"
        )
    reading = read_documents(documents)
    asked = read_questions(questions, reading.documents) if questions else None
    folder = path.resolve().parent
    named = _from(folder, questions) if questions else None
    write_text(path, template(_from(folder, documents), named))
    load_config(path)  # what we write must load
    return FirstLook(reading, asked)


def _from(folder: Path, path: Path) -> str:
    absolute = path.resolve()
    inside = absolute.is_relative_to(folder)
    return (absolute.relative_to(folder) if inside else absolute).as_posix()
