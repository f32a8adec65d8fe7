"""Stage 2: documents become texts in the ledger; the artifact says what came of the plan."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from steep.config import Config
from steep.core.artifacts import (
    WORK_TIME,
    Artifact,
    Identity,
    Project,
    explain_change,
    finish,
    refuse_ranks,
    refuse_unfinished,
    remove_leftovers,
)
from steep.core.config import identity_fields
from steep.core.files import write_jsonl
from steep.core.formatting import plural
from steep.core.work_time import work_time
from steep.documents.document import Document
from steep.generation import checks, clients, requeue
from steep.generation.busy import busy_seconds
from steep.generation.config import GenerateConfig
from steep.generation.context_limits import check_context, context_warnings, tell_beyond
from steep.generation.plan import PlanView, Totals
from steep.generation.pricing import base_urls, prices_of
from steep.generation.recipes import chosen_documents, plan_view
from steep.ledger import queries
from steep.ledger.ledger import Ledger
from steep.ledger.records import TEXTLESS_REASON
from steep.stages import documents as documents_stage
from steep.stages import generation_run

log = logging.getLogger("steep")

VERSION = 3
FACTS_NAME = "entities.jsonl"


def run(
    config: Config,
    project: Project,
    documents: Artifact,
    wait: bool = True,
    retry_empty: bool = False,
) -> Artifact | None:
    """Make every planned call that the ledger lacks; None when there is no recipe.

    Args:
        config: The configuration.
        project: Where the ledger is.
        documents: The artifact of the stage before.
        wait: Whether to wait for a provider's batches; otherwise they are collected by a later run.
        retry_empty: Whether to ask again about documents that gave nothing to write about.

    Raises:
        UserError: The endpoint cannot be used at all, a document exceeds the context, or most
            documents have no entities.
    """
    settings = config.generate
    if not settings.recipes:
        log.info("generate: nothing to write, generate.recipes is empty")
        return None
    fields = identity_fields("generate", settings)
    identity = Identity("generate", VERSION, fields, {"documents": documents})
    found = project.find(identity.stage, identity.hash8)
    done_before = found and _is_finished(found) and project.ledger_path.is_file()
    if found and done_before and not retry_empty:
        log.info("generate: done before (%s)", found.path.name)
        return found
    refuse_ranks(identity.stage)
    if project.finished_only and found and project.ledger_path.is_file():
        return found  # a run that ended early: its report says what is missing
    refuse_unfinished(project, identity)
    if not found:
        explain_change(project, identity)
    path = project.artifact_path(identity.stage, identity.hash8)
    loaded = chosen_documents(settings, documents_stage.load(documents))
    with Ledger(project.ledger_path) as ledger:
        path.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path)
        with work_time(path / WORK_TIME) as seconds:
            _ask_again(settings, plan_view(settings, loaded, ledger), retry_empty)
            manifest = _make(path, settings, loaded, ledger, wait, project.root)
    # A probe, or the making of another artifact, may have made some of these calls.
    wall_s = round(max(seconds(), manifest["busy_s"]), 2)
    artifact = finish(path, identity, {**manifest, "wall_s": wall_s})
    checks.log_counts(manifest)
    checks.check_failures(manifest)
    tell_beyond(manifest)
    checks.check_empty(manifest)
    checks.check_prepared(manifest)
    return artifact


def cancel_batches(config: Config, project: Project) -> int:
    """Ask the provider to end all open batches; return how many.

    Raises:
        UserError: The provider cannot be asked.
    """
    with Ledger(project.ledger_path) as ledger:
        return generation_run.cancel_batches(config.generate, ledger)


def check(config: Config, project: Project) -> None:
    """Refuse settings that contradict each other, before anything is read or spent.

    Raises:
        UserError: The engine cannot be what it is told to be, or its libraries are missing.
    """
    if config.generate.recipes:
        clients.check(config.generate, project.root)


def _is_finished(artifact: Artifact) -> bool:
    manifest = artifact.manifest
    counts = manifest["counts"]
    is_whole = counts["failed"] == counts["to_do"] == 0 and manifest["ended"] is None
    has_text = not any(manifest[name] for name in ("empty_left", "mostly_empty", "beyond_context"))
    is_prepared = not any(each["dead_end"] for each in manifest["without_texts"])
    return (is_whole or manifest["ended"] == "target") and has_text and is_prepared


def _ask_again(settings: GenerateConfig, view: PlanView, empty: bool) -> None:
    """Leave to do what came back without text, and what left nothing to write if that is wished."""
    prices = prices_of(settings, next(iter(base_urls(settings)), None))
    if textless := requeue.textless_calls(view, settings.max_attempts):
        log.info("generate: %s without text; asking again", plural(len(textless), "answer"))
        reason = "the answer held no text"
        requeue.ask_again(textless, TEXTLESS_REASON, reason, view.ledger, prices)
    if empty:
        without = view.totals().without_calls
        log.info("generate: asking again about %s", plural(len(without), "document"))
        calls = requeue.preparing_calls(view, without)
        reason = "the answers gave nothing to write about"
        requeue.ask_again(calls, "error", reason, view.ledger, prices)


def _make(
    path: Path,
    settings: GenerateConfig,
    documents: Sequence[Document],
    ledger: Ledger,
    wait: bool,
    root: Path,
) -> dict[str, Any]:
    view = plan_view(settings, documents, ledger)
    totals, ended = view.totals(), None
    if totals.to_do or totals.failed:
        check_context(documents, settings)
        for warning in context_warnings(documents, settings):
            log.warning("generate: %s", warning)
        ended = generation_run.run_generation(settings, view, wait=wait, root=root).ended
        view = plan_view(settings, documents, ledger)
        totals = view.totals()
    _write_facts(path, view)
    return _manifest(settings, view, totals, ended)


def _manifest(
    settings: GenerateConfig, view: PlanView, totals: Totals, ended: str | None
) -> dict[str, Any]:
    beyond = queries.beyond_context(view.ledger)
    usage = totals.usage
    return {
        "counts": totals.counts,
        "beyond_target": totals.beyond_target,
        "submitted": totals.submitted,
        "ended": ended,
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "cached_tokens": usage.cached_tokens,
            "completion_tokens": usage.completion_tokens,
        },
        "reasoning_tokens": totals.reasoning_tokens,
        "cost_usd": totals.cost_usd,
        "known_usd": totals.known_usd,
        "unpriced": totals.unpriced,
        "recipes": [recipe.name for recipe in view.recipes],
        "model": settings.model,
        "endpoint": _endpoint(settings),
        "failures": [failure._asdict() for failure in totals.failures],
        "documents": len(view.documents),
        "without_texts": _without_texts(view, totals),
        "beyond_context": [each.id for each in view.documents if each.id in beyond],
        "empty_left": len(requeue.textless_calls(view, settings.max_attempts)),
        "mostly_empty": checks.is_mostly_empty(totals.counts),
        "digest": view.digest(),
        "busy_s": round(busy_seconds(view), 2),
    }


def _without_texts(view: PlanView, totals: Totals) -> list[dict[str, Any]]:
    """Each recipe with the documents that gave it nothing to write about."""
    found = []
    for recipe in view.recipes:
        without = [each for each in totals.without_calls if each.recipe == recipe.name]
        if without:
            found.append(
                {
                    "recipe": recipe.name,
                    "documents": [each.document_id for each in without],
                    "dead_end": checks.is_dead_end(len(without), len(view.documents)),
                    "answer": checks.prepared_answer(view, without[0]),
                    "expected": recipe.expected_answer,
                }
            )
    return found


def _endpoint(settings: GenerateConfig) -> str:
    urls = ", ".join(base_urls(settings))
    return urls or ("a Ray cluster" if settings.engine == "ray" else "in process")


def _write_facts(path: Path, view: PlanView) -> None:
    rows = []
    for recipe in view.recipes:
        for document in view.documents:
            facts = recipe.facts(document, view.preparation(recipe, document).answers)
            if facts is not None:
                rows.append({"document_id": document.id, **facts})
    write_jsonl(path / FACTS_NAME, rows)
