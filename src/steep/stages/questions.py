"""Questions about the documents: written by a model, checked, and reviewed by a person."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from steep.config import Config
from steep.core.artifacts import Artifact, Project
from steep.ledger.ledger import open_ledger
from steep.stages import documents as documents_stage
from steep.stages.evaluate import setup_of

if TYPE_CHECKING:
    from steep.evaluation.writing.plan import WritingPlan
    from steep.evaluation.writing.separation import Separation


def run(config: Config, project: Project) -> Artifact:
    """Write the questions.

    Raises:
        UserError: No writer is configured, a model fails, or a limit of the project is reached.
    """
    from steep.evaluation.writing.write import questions_artifact

    documents = documents_stage.run(config, project)
    return questions_artifact(setup_of(config, project), config.questions, documents)


def separation(project: Project, written: Artifact) -> Separation:
    """Search the prompts of all recipes for the written questions."""
    from steep.core.files import read_jsonl
    from steep.evaluation.writing.candidates import candidate_of
    from steep.evaluation.writing.results import QUESTIONS_NAME
    from steep.evaluation.writing.separation import check_separation
    from steep.evaluation.writing.sources import Sources

    name = written.manifest["identity"]["inputs"]["documents"]
    documents = Artifact(name, project.store / name, {})
    questions = [candidate_of(row) for row in read_jsonl(written.path / QUESTIONS_NAME)]
    with open_ledger(project) as ledger:
        return check_separation(questions, Sources(documents_stage.load(documents)), ledger)


def plan(config: Config, project: Project) -> WritingPlan:
    """Plan what the writing of questions sends, without sending or writing anything.

    Raises:
        UserError: No writer is configured, or there are no documents.
    """
    from steep.evaluation.writing.plan import plan_writing
    from steep.evaluation.writing.write import find_written

    setup, parts = setup_of(config, project), documents_stage.peek(config, project)
    with open_ledger(project) as ledger:
        found = plan_writing(setup, config.questions, parts, ledger)
    documents = documents_stage.find(config, project)
    written = documents and find_written(setup, config.questions, documents)
    return replace(found, is_finished=written is not None)


def review(config: Config, project: Project, path: Path) -> int:
    """Write a file in which a person reviews the questions; return their number.

    Raises:
        UserError: No questions have been written, or the file cannot be written.
    """
    from steep.evaluation.writing.review import write_review
    from steep.evaluation.writing.write import finished

    documents = documents_stage.run(config, project)
    return write_review(path, finished(setup_of(config, project), config.questions, documents))


def apply(config: Config, project: Project, path: Path) -> Artifact:
    """Apply the review in a file; return the reviewed questions.

    Raises:
        UserError: The file cannot be read, or an edited question fails a gate.
    """
    from steep.evaluation.writing.review import apply_review

    documents = documents_stage.run(config, project)
    return apply_review(setup_of(config, project), config.questions, documents, path)
