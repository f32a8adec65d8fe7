"""Export questions as tasks of other packages, with the same prompts and the same counting.

An export is a folder of files that do not need Steep: the questions with their prompts as JSON
Lines, and the files that lm-evaluation-harness or inspect-ai needs to run them (`exported/`). With
the same model, the choices by likelihood are those of Steep (`benchmarks/interoperability.py`).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from steep.core.errors import UserError
from steep.core.files import read_json, write_json, write_jsonl, write_text
from steep.documents.document import Document
from steep.evaluation.prompts import closed_book_prompt, letters_of
from steep.evaluation.protocols import PROTOCOLS
from steep.evaluation.questions import Question
from steep.evaluation.rows import choice_prompts

MARK = "steep-export.json"  # lists the files that exports have written
TEMPLATE_NAME = "closed_book"
MODEL = "MODEL_DIRECTORY"  # a placeholder in the commands


@dataclass(frozen=True, slots=True)
class ExportedQuestions:
    """Questions with the prompts of our own evaluation.

    `prompts` are those of likelihoods; `choice_prompts` show the options, in `orders`.
    """

    name: str
    questions: Sequence[Question]
    prompts: Sequence[str]
    choice_prompts: Sequence[str]
    orders: Sequence[tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Exported:
    """A written folder, and the commands that run it, one per task."""

    directory: Path
    files: tuple[str, ...]
    commands: tuple[str, ...]


def export_questions(
    name: str, questions: Sequence[Question], documents: Mapping[str, Document]
) -> ExportedQuestions:
    """Build the prompts of these questions under the default protocol.

    Raises:
        UserError: The name is not valid in Python and YAML, or there are too many options.
    """
    if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
        raise UserError(
            "This is not a valid name of a task.",
            where="--name",
            expected="letters, digits and _, no digit first",
            found=name,
        )
    prompts = [closed_book_prompt(each, documents[each.document_id]) for each in questions]
    shown, orders = choice_prompts(questions, documents, PROTOCOLS["default"])
    return ExportedQuestions(name, questions, prompts, shown, orders)


def export_lm_eval(directory: Path, question_set: ExportedQuestions) -> Exported:
    """Write NAME and NAME_generation as tasks of lm-evaluation-harness."""
    command = (
        f"lm_eval --model hf --model_args pretrained={MODEL},dtype=float32 "
        f"--include_path {shlex.quote(str(directory))} --tasks {question_set.name}"
    )
    templates = (".yaml", "_generation.yaml", "_docs.py")
    return _export(directory, question_set, templates, (command, f"{command}_generation"))


def export_inspect(directory: Path, question_set: ExportedQuestions) -> Exported:
    """Write NAME.py with the tasks `likelihood` and `generation` for inspect-ai."""
    file = shlex.quote(str(directory / f"{question_set.name}.py"))
    options = f"--model hf/local -M model_path={MODEL} -M dtype=float32"
    commands = tuple(
        f"inspect eval {file}@{each} {options}" for each in ("likelihood", "generation")
    )
    return _export(directory, question_set, (".py",), commands)


EXPORTS: dict[str, Callable[[Path, ExportedQuestions], Exported]] = {
    "lm-eval": export_lm_eval,
    "inspect": export_inspect,
}


def _export(
    directory: Path,
    question_set: ExportedQuestions,
    templates: Sequence[str],
    commands: tuple[str, ...],
) -> Exported:
    texts = {f"{question_set.name}{each}": _template(each, question_set.name) for each in templates}
    data = f"{question_set.name}.jsonl"
    ours = _claim(directory, [*texts, data])
    write_json(directory / MARK, {"files": ours})  # first: a rerun after a crash finds its own
    for name, text in texts.items():
        write_text(directory / name, text)
    write_jsonl(directory / data, records(question_set))
    return Exported(directory, (*texts, data), commands)


def _template(suffix: str, name: str) -> str:
    folder = resources.files("steep") / "evaluation" / "exported"
    text = (folder / f"{TEMPLATE_NAME}{suffix}").read_text(encoding="utf-8")
    return text.replace(TEMPLATE_NAME, name)


def records(question_set: ExportedQuestions) -> list[dict[str, Any]]:
    """Return one row per question; `letters` show the right options in `choice_prompt`."""
    parts = (question_set.questions, question_set.prompts, question_set.choice_prompts)
    rows = zip(*parts, question_set.orders, strict=True)
    return [
        {
            "id": question.id,
            "document_id": question.document_id,
            "kind": question.kind,
            "question": question.question,
            "options": list(question.options),
            "gold": list(question.gold),
            "prompt": prompt,
            "choice_prompt": choice_prompt,
            "letters": letters_of(question.gold, order),
        }
        for question, prompt, choice_prompt, order in rows
    ]


def _claim(directory: Path, names: Sequence[str]) -> list[str]:
    """Check that no file of the user would be overwritten; return all files of exports."""
    mark = directory / MARK
    if directory.exists() and not directory.is_dir():
        raise _not_ours(directory, "a file")
    there = sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []
    ours: list[str] = read_json(mark)["files"] if mark.is_file() else []
    foreign = [name for name in there if name not in (*ours, MARK)]
    if foreign and (not mark.is_file() or set(foreign) & set(names)):
        raise _not_ours(directory, ", ".join(foreign[:3]))
    return sorted({*ours, *names})


def _not_ours(directory: Path, found: str) -> UserError:
    return UserError(
        "The folder holds files that an export has not written; nothing was written.",
        where=directory,
        expected="a new or empty folder, or one of an earlier export",
        found=found,
        hint="name another folder with --out",
    )
