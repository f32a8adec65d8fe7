"""Stage 2: documents become completions, in the ledger.

The ledger is the store; the artifact is a summary of the plan's outcome. A run with failed calls,
or one that ended at its budget, is continued by the same command: its manifest counts as finished
only when nothing failed and nothing is left to do.
"""

from __future__ import annotations

import difflib
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
from steep.core.errors import UserError
from steep.core.files import write_jsonl
from steep.core.formatting import cost_of, plural
from steep.core.work_time import work_time
from steep.documents.document import Document
from steep.generation import clients, plan, requeue
from steep.generation.busy import busy_seconds
from steep.generation.config import GenerateConfig
from steep.generation.context_limits import check_context, context_warnings, tell_beyond
from steep.generation.pricing import base_urls, goal_in, prices_of
from steep.ledger import queries
from steep.ledger.ledger import Ledger
from steep.ledger.records import TEXTLESS_REASON
from steep.recipes.entigraph import EntiGraph
from steep.stages import dead_ends, generation_run
from steep.stages import documents as documents_stage

log = logging.getLogger("steep")

VERSION = 2
ENTITIES_NAME = "entities.jsonl"
SHOWN_REASONS = 3


def recipe_of(config: GenerateConfig) -> EntiGraph:
    """The recipe that the configuration describes."""
    return EntiGraph(
        model=config.model,
        temperature=config.temperature,
        top_p=config.top_p,
        max_tokens=config.max_tokens + config.reasoning_tokens,
        frequency_penalty=config.frequency_penalty,
        prompt=config.prompt,
        prompt_order=config.prompt_order,
        pairs=config.pairs,
        triplets=config.triplets,
        entity_attempts=config.entity_attempts,
        min_entities=config.min_entities,
        max_entities=config.max_entities,
        seed=config.seed,
    )


def written_about(settings: GenerateConfig, documents: Sequence[Document]) -> tuple[Document, ...]:
    """The documents, or parts of them, that texts are written about.

    Raises:
        UserError: `generate.documents` names one that is not there.
    """
    if not settings.documents:
        return tuple(documents)
    known = {document.whole_id for document in documents}
    if unknown := [each for each in settings.documents if each not in known]:
        near = difflib.get_close_matches(unknown[0], known, n=1)
        raise UserError(
            "There is no such document to write about.",
            where="generate.documents",
            expected=f"IDs of documents, e.g. {', '.join(sorted(known)[:5])}",
            found=unknown[0],
            hint=f"did you mean '{near[0]}'?" if near else None,
        )
    return tuple(each for each in documents if each.whole_id in settings.documents)


def run(
    config: Config,
    project: Project,
    documents: Artifact,
    wait: bool = True,
    retry_entities: bool = False,
) -> Artifact | None:
    """Make every planned call that the ledger lacks; None when no recipe is asked for.

    Args:
        config: The configuration.
        project: Where the ledger is.
        documents: The artifact of the stage before.
        wait: Whether to wait for a provider's batches; otherwise they are collected by a later run.
        retry_entities: Whether to ask again for the entities of documents that have none.

    Raises:
        UserError: The endpoint cannot be used at all, a document exceeds the context, or most
            documents have no entities.
    """
    settings = config.generate
    if settings.recipe is None:
        log.info("generate: nothing to write, generate.recipe is null")
        return None
    fields = identity_fields("generate", settings)
    identity = Identity("generate", VERSION, fields, {"documents": documents})
    found = project.find(identity.stage, identity.hash8)
    done_before = found and _is_finished(found) and project.ledger_path.is_file()
    if found and done_before and not retry_entities:
        log.info("generate: done before (%s)", found.path.name)
        return found
    refuse_ranks(identity.stage)
    if project.finished_only and found and project.ledger_path.is_file():
        return found  # a run that ended early: its report says what is missing
    refuse_unfinished(project, identity)
    if not found:
        explain_change(project, identity)
    path = project.artifact_path(identity.stage, identity.hash8)
    loaded = written_about(settings, documents_stage.load(documents))
    with Ledger(project.ledger_path) as ledger:
        path.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path)
        with work_time(path / WORK_TIME) as seconds:
            _ask_again(settings, loaded, ledger, retry_entities)
            manifest = _make(path, settings, loaded, ledger, wait, project.root)
    # A probe, or the making of another artifact, may have made some of these calls.
    wall_s = round(max(seconds(), manifest["busy_s"]), 2)
    artifact = finish(path, identity, {**manifest, "wall_s": wall_s})
    _tell_counts(manifest)
    _tell_failures(manifest)
    tell_beyond(manifest)
    dead_ends.tell_empty(manifest)
    dead_ends.tell(manifest)
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
    if config.generate.recipe is not None:
        clients.check(config.generate, project.root)


def counts_of(
    settings: GenerateConfig, documents: Sequence[Document], ledger: Ledger
) -> dict[str, int] | None:
    """How many calls of each document belong to the plan; None when all do, as there is no goal.

    A goal in tokens says how much is wanted. One in dollars says what may be paid, and what was
    paid for before stays wanted, whatever the limit is now.
    """
    recipe = recipe_of(settings)
    goal = goal_in(settings, recipe)
    if goal is None:
        return None
    counts = ledger.allotment(goal.key)
    if goal.unit == "usd":
        for document in documents:
            calls, _ = plan.counted_calls(document, recipe, ledger)
            paid = ledger.highest(calls.key) + 1
            counts[document.id] = max(counts.get(document.id, 0), min(paid, len(calls)))
    return counts


def _is_finished(artifact: Artifact) -> bool:
    manifest = artifact.manifest
    nothing_left = manifest["counts"]["failed"] == manifest["counts"]["to_do"] == 0
    unfinished = ("dead_end", "empty_left", "mostly_empty", "beyond_context")
    no_dead_end = not any(manifest.get(name) for name in unfinished)
    return nothing_left and no_dead_end and manifest["ended"] is None


def _ask_again(
    settings: GenerateConfig, documents: Sequence[Document], ledger: Ledger, entities: bool
) -> None:
    """Leave to do what came back without text, and entities if that is wished."""
    recipe, counts = recipe_of(settings), counts_of(settings, documents, ledger)
    prices = prices_of(settings, next(iter(base_urls(settings)), None))
    textless = requeue.textless_calls(documents, recipe, ledger, counts, settings.max_attempts)
    if textless:
        found = plural(len(textless), "answer")
        log.info("generate: %s without text; asking again", found)
        requeue.ask_again(textless, TEXTLESS_REASON, "the answer held no text", ledger, prices)
    if entities:
        totals = plan.totals(documents, recipe, ledger, counts)
        without = dead_ends.without_entities(documents, recipe, ledger, totals)
        found = plural(len(without), "document")
        log.info("generate: entities are asked for again of %s", found)
        calls = requeue.opening_calls(without, recipe, ledger)
        requeue.ask_again(calls, "error", "the answers named no entities", ledger, prices)


def _tell_counts(manifest: dict[str, Any]) -> None:
    """The sum that must match, and what it took."""
    counts, usage = manifest["counts"], manifest["usage"]
    cost = cost_of(manifest["known_usd"], manifest["unpriced"])
    parts = [f"{n:,} {name.replace('_', ' ')}" for name, n in counts.items() if name != "planned"]
    some = [part for part in parts if not part.startswith("0 ")]
    waiting = f" ({manifest['submitted']:,} wait in batches)" if manifest["submitted"] else ""
    log.info(
        "generate: %s = %s%s; %s tokens in (%s cached), %s out, cost %s",
        plural(counts["planned"], "call"),
        " + ".join(some) or "0",
        waiting,
        f"{usage['prompt_tokens']:,}",
        f"{usage['cached_tokens']:,}",
        f"{usage['completion_tokens']:,}",
        cost,
    )


def _tell_failures(manifest: dict[str, Any]) -> None:
    counts = manifest["counts"]
    reasons = [f"{each['calls']} x {each['reason']}" for each in manifest["failures"]]
    if counts["failed"] == counts["planned"] > 0:
        raise UserError(
            "Not one call was answered with a text.",
            where=f"{manifest['endpoint']}, model '{manifest['model']}'",
            found="\n            ".join(reasons[:SHOWN_REASONS]),
            hint="put that right and run the same command again",
        )
    if counts["failed"]:
        log.warning(
            "generate: %d of %d calls failed; the next run tries again (steep status --failed)",
            counts["failed"],
            counts["planned"],
        )
        for reason in reasons[:SHOWN_REASONS]:
            log.warning("  %s", reason)


def _make(
    path: Path,
    settings: GenerateConfig,
    documents: Sequence[Document],
    ledger: Ledger,
    wait: bool,
    root: Path,
) -> dict[str, Any]:
    recipe = recipe_of(settings)
    counts = counts_of(settings, documents, ledger)
    totals, ended = plan.totals(documents, recipe, ledger, counts), None
    if totals.to_do or totals.failed or counts is not None:
        check_context(documents, settings)
        for warning in context_warnings(documents, settings):
            log.warning("generate: %s", warning)
        ended = generation_run.run_generation(
            settings, documents, recipe, ledger, wait=wait, root=root
        ).ended
        counts = counts_of(settings, documents, ledger)
        totals = plan.totals(documents, recipe, ledger, counts)
    _write_entities(path, documents, recipe, ledger)
    without = dead_ends.without_entities(documents, recipe, ledger, totals)
    textless = requeue.textless_calls(documents, recipe, ledger, counts, settings.max_attempts)
    beyond = queries.beyond_context(ledger)
    return {
        "counts": totals.counts,
        "submitted": totals.submitted,
        "ended": ended,
        "usage": {
            "prompt_tokens": totals.usage.prompt_tokens,
            "cached_tokens": totals.usage.cached_tokens,
            "completion_tokens": totals.usage.completion_tokens,
        },
        "reasoning_tokens": totals.reasoning_tokens,
        "cost_usd": totals.cost_usd,
        "known_usd": totals.known_usd,
        "unpriced": totals.unpriced,
        "model": settings.model,
        "endpoint": _endpoint(settings),
        "failures": [failure._asdict() for failure in totals.failures],
        "documents": len(documents),
        "documents_without_entities": [document.id for document in without],
        "beyond_context": [document.id for document in documents if document.id in beyond],
        "dead_end": dead_ends.is_dead_end(len(without), len(documents)),
        "entity_answer": dead_ends.answer_about(without[0], recipe, ledger) if without else None,
        "empty_left": len(textless),
        "mostly_empty": dead_ends.is_mostly_empty(totals.counts),
        "digest": plan.digest(documents, recipe, ledger, counts),
        "busy_s": round(busy_seconds(documents, recipe, ledger, counts), 2),
    }


def _endpoint(settings: GenerateConfig) -> str:
    urls = ", ".join(base_urls(settings))
    return urls or ("a Ray cluster" if settings.engine == "ray" else "in process")


def _write_entities(
    path: Path, documents: Sequence[Document], recipe: EntiGraph, ledger: Ledger
) -> None:
    entities = []
    for document in documents:
        found = recipe.entities(document, plan.opening_of(document, recipe, ledger).texts)
        row = {"document_id": document.id, "entities": found.entities, "summary": found.summary}
        entities.append(row)
    write_jsonl(path / ENTITIES_NAME, entities)
