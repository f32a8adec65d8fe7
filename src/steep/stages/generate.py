"""Stage 2: documents become texts in the ledger; the artifact lists the outcome of every call."""

from __future__ import annotations

import logging

from steep.config import Config
from steep.core.artifacts import Artifact, Project
from steep.generation import clients
from steep.generation.artifact import find_texts, make_texts
from steep.generation.planning import check_plannable
from steep.generation.preview import Preview, make_preview, of_recipe
from steep.generation.run import cancel_batches as cancel_all
from steep.generation.setup import chosen_documents
from steep.ledger.ledger import Ledger
from steep.stages import documents as documents_stage

log = logging.getLogger("steep")


def run(
    config: Config,
    project: Project,
    documents: Artifact,
    wait: bool = True,
    retry_empty: bool = False,
) -> Artifact | None:
    """Make every planned call that the ledger lacks; None when there is no recipe."""
    settings = config.generate
    if not settings.recipes:
        log.info("generate: nothing to write, generate.recipes is empty")
        return None
    identity, found = find_texts(project, settings, documents, retry_empty)
    return found or make_texts(
        project,
        settings,
        identity,
        documents_stage.load(documents),
        wait=wait,
        retry_empty=retry_empty,
    )


def preview(config: Config, project: Project, number: int, recipe: str | None) -> Preview:
    """Write a few texts of every step of every recipe, or of one.

    Raises:
        UserError: There is no such recipe, or the generator cannot be used.
    """
    settings = of_recipe(config.generate, recipe)
    artifact = documents_stage.run(config, project)
    documents = chosen_documents(settings, documents_stage.load(artifact))
    check_plannable(settings, documents)
    with Ledger(project.ledger_path) as ledger:
        return make_preview(settings, documents, ledger, number, project.root)


def cancel_batches(config: Config, project: Project) -> int:
    """Ask the provider to end all open batches; return how many."""
    with Ledger(project.ledger_path) as ledger:
        return cancel_all(config.generate, ledger)


def check(config: Config, project: Project) -> None:
    """Refuse settings that contradict each other, before anything is read or spent."""
    if config.generate.recipes:
        clients.check(config.generate, project.root)
