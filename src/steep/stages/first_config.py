"""A first steep.yaml for a folder of documents: what `steep init` does."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from steep.config_loading import load_config
from steep.core.errors import UserError
from steep.core.files import write_text
from steep.documents.document import Reading
from steep.documents.quality import first_record, is_quality
from steep.documents.reading import read_documents
from steep.evaluation.questions import Questions, read_questions
from steep.generation.context_limits import context_warnings
from steep.stages.template import template

IGNORE_NAME = ".gitignore"
IGNORED = (".steep/", "runs/")


class FirstLook(NamedTuple):
    """What was found where the configuration will look.

    Attributes:
        questions_path: Their file; one in QuALITY's own format is found among the documents.
        ignored_path: The .gitignore that was written; None where there was one.
        warnings: What is to be feared of the documents.
    """

    documents: Reading
    questions: Questions | None
    questions_path: Path | None
    ignored_path: Path | None
    warnings: tuple[str, ...]


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
    questions = questions or _quality_file(documents, reading)
    asked = read_questions(questions, reading.documents) if questions else None
    folder = path.resolve().parent
    named = _from(folder, questions) if questions else None
    write_text(path, template(_from(folder, documents), named))
    config = load_config(path)  # what we write must load
    # Its endpoint is a guess of ours, which nobody has confirmed: it is not asked.
    warnings = tuple(context_warnings(reading.documents, config.generate, ask=False))
    ignored = _write_ignore(path.parent / IGNORE_NAME)
    return FirstLook(reading, asked, questions, ignored, warnings)


def _quality_file(documents: Path, reading: Reading) -> Path | None:
    """The one file among the documents that brings its questions, if there is just one."""
    sources = dict.fromkeys(document.source for document in reading.documents)
    paths = [documents] if documents.is_file() else [documents / source for source in sources]
    found = [path for path in paths if path.is_file() and _has_questions(path)]
    return found[0] if len(found) == 1 else None


def _has_questions(path: Path) -> bool:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return is_quality(first_record(file.readline()))


def _write_ignore(path: Path) -> Path | None:
    """Keep artifacts out of a repository; a file that is there already is its owner's."""
    if path.exists():
        return None
    write_text(path, "".join(f"{each}\n" for each in IGNORED))
    return path


def _from(folder: Path, path: Path) -> str:
    absolute = path.resolve()
    inside = absolute.is_relative_to(folder)
    return (absolute.relative_to(folder) if inside else absolute).as_posix()
