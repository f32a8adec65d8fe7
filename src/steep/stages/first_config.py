"""A first steep.yaml for a folder of documents: what `steep init` does.

The commented file is made from the configuration tree itself. Lines with defaults are comments, so
that a setting of the user, such as a preset, is not overridden by a default.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from steep.config import Config
from steep.config_loading import load_config
from steep.core.artifacts import Project
from steep.core.config import Section
from steep.core.errors import UserError
from steep.core.files import write_text
from steep.documents.document import Reading
from steep.documents.extraction_cache import DIRECTORY_NAME as EXTRACTED
from steep.documents.extraction_cache import cached_extraction
from steep.documents.hub import is_hub
from steep.documents.quality import first_record, is_quality
from steep.documents.reading import read_documents
from steep.documents.sources import source_root
from steep.evaluation.questions import Questions, read_questions
from steep.generation.context_limits import context_warnings

IGNORE_NAME = ".gitignore"
IGNORED = (".steep/", "runs/")
HEADER = """\
# Steep: teach a language model a small private corpus.
# Every field is listed with its default, as a comment: remove the # to set it.
# `steep run` runs every stage; `steep status` shows the progress.
#
# Six settings matter most; their lines are marked with <<< below:
"""
MARK = "<<<"
FIRST = {
    ("generate", "base_url"): "the endpoint that writes the texts",
    ("generate", "model"): "its name for the model",
    ("generate", "max_cost_usd"): "a limit in dollars for all paid requests of the project",
    ("generate", "api_key_env"): "the environment variable that holds its key, if it needs one",
    ("train", "model"): "the model to teach: a Hugging Face directory or a name on the Hub",
    ("evaluate", "questions"): "the questions of the evaluation; without them nothing is evaluated",
}
VALUE_WIDTH = 40


class FirstLook(NamedTuple):
    """The documents and questions that were found.

    Attributes:
        questions_path: The file of questions; a QuALITY file among the documents has its own.
        ignored_path: The .gitignore that was written; None if there was one already.
        warnings: Documents that may not fit into the context of the generator.
    """

    documents: Reading
    questions: Questions | None
    questions_path: Path | None
    ignored_path: Path | None
    warnings: tuple[str, ...]


def write_first_config(path: Path, documents: Path | str, questions: Path | None) -> FirstLook:
    """Read documents and questions once, and write a commented configuration that names them.

    Args:
        path: The configuration to write.
        documents: As `documents.path`, relative to the working directory.
        questions: A file of questions; None: those of a QuALITY file among the documents.

    Raises:
        UserError: There is a configuration already, no document, or no question about them.
    """
    if path.exists():
        raise UserError(
            "There is a configuration already.", where=path, hint="edit it, or name another with -c"
        )
    folder = path.resolve().parent
    with cached_extraction(Project(folder).store / EXTRACTED):
        reading = read_documents(documents, exclude=(folder / "runs",))
    questions = questions or _quality_file(documents, reading)
    asked = read_questions(questions, reading.documents) if questions else None
    named = _from(folder, questions) if questions else None
    source = str(documents) if is_hub(documents) else _from(folder, Path(documents))
    write_text(path, template(source, named))
    config = load_config(path)  # must load
    # The endpoint in it is only an example, so it is not contacted.
    warnings = tuple(context_warnings(reading.documents, config.generate, ask=False))
    ignored = _write_ignore(path.parent / IGNORE_NAME)
    return FirstLook(reading, asked, questions, ignored, warnings)


def _quality_file(documents: Path | str, reading: Reading) -> Path | None:
    """Return the only file among the documents that contains questions, if there is just one."""
    if is_hub(documents):
        return None
    root = source_root(Path(documents))
    sources = dict.fromkeys(document.source for document in reading.documents)
    paths = [root / source for source in sources]
    found = [path for path in paths if path.is_file() and _has_questions(path)]
    return found[0] if len(found) == 1 else None


def _has_questions(path: Path) -> bool:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return is_quality(first_record(file.readline()))


def _write_ignore(path: Path) -> Path | None:
    """Write a .gitignore for artifacts, unless there is one."""
    if path.exists():
        return None
    write_text(path, "".join(f"{each}\n" for each in IGNORED))
    return path


def _from(folder: Path, path: Path) -> str:
    absolute = path.resolve()
    inside = absolute.is_relative_to(folder)
    return (absolute.relative_to(folder) if inside else absolute).as_posix()


def template(documents: str | None, questions: str | None) -> str:
    """Render the whole tree as YAML with comments; the two paths are filled in."""
    given = {("documents", "path"): documents, ("evaluate", "questions"): questions}
    lines = [HEADER]
    for (section_name, name), purpose in FIRST.items():
        lines.append(f"#   {f'{section_name}.{name}':<22} {purpose}\n")
    for name, field in Config.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            lines.append(f"\n{name}:{_comment(section.__doc__)}\n")
            lines += [f"  {line}\n" for line in _fields(name, section, given)]
        else:
            lines.append(f"\n#{_line(name, field.default, field)}\n")
    return "".join(lines)


def _fields(
    section_name: str, section: type[BaseModel], given: dict[tuple[str, str], str | None]
) -> Iterator[str]:
    own = [name for name in section.model_fields if name in section.__annotations__]
    for name in dict.fromkeys([*own, *section.model_fields]):  # its own fields first
        field = section.model_fields[name]
        place = (section_name, name)
        value = given.get(place)
        mark = f"  {MARK}" if place in FIRST else ""
        if value is not None or field.is_required():
            yield _line(name, value, field) + mark
        elif isinstance(field.default, Section):
            yield f"#{name}:".ljust(VALUE_WIDTH + 1) + _comment(field.description)
            for each in _fields(name, type(field.default), {}):
                yield f"#  {each.removeprefix('#')}"
        elif _holds_sections(field.default):
            yield f"#{name}:".ljust(VALUE_WIDTH + 1) + _comment(field.description)
            for inner, options in field.default.items():
                yield f"#  {inner}:"
                for each in _fields(inner, type(options), {}):
                    yield f"#    {each.removeprefix('#')}"
        else:
            yield f"#{_line(name, field.default, field)}{mark}"


def _holds_sections(value: Any) -> bool:
    return isinstance(value, dict) and any(isinstance(each, Section) for each in value.values())


def _line(name: str, value: Any, field: FieldInfo) -> str:
    if isinstance(value, dict):
        value = {key: list(item) for key, item in value.items()}
    if isinstance(value, Path):
        value = str(value)
    text = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, width=1000, allow_unicode=True
    )
    entry = f"{name}: {text.removesuffix('...' + chr(10)).strip()}"
    return (entry.ljust(VALUE_WIDTH) + _comment(field.description)).rstrip()


def _comment(text: str | None) -> str:
    return f"  # {text.strip().splitlines()[0]}" if text else ""
