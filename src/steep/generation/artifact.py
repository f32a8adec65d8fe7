"""The artifact of a generation: the totals of a plan; the texts themselves stay in the ledger.

After each run the answers are checked. A wrong chat template, a model that thinks until its tokens
are spent, or a server that ignores `response_format` answer every preparing call with nothing of
use, so that nothing is written about the document. A few such documents are named. If most are like
that, the run ends with one of their answers; `steep generate --retry-empty` tries exactly these
documents again once the cause is fixed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

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
from steep.generation import checks
from steep.generation.config import GenerateConfig
from steep.generation.context_limits import check_context, context_warnings
from steep.generation.plan import PlanView, is_final
from steep.generation.run import run_generation
from steep.generation.setup import base_urls, chosen_documents, plan_view, prices_of
from steep.generation.totals import Totals
from steep.generation.usage_stats import busy_seconds
from steep.ledger import queries
from steep.ledger.ledger import Ledger
from steep.ledger.records import TEXTLESS_REASON, Lost
from steep.llm.prices import Prices

log = logging.getLogger("steep")

STAGE = "generate"
VERSION = 3
FACTS_NAME = "entities.jsonl"


def find_texts(
    project: Project, settings: GenerateConfig, documents: Artifact, again: bool = False
) -> tuple[Identity, Artifact | None]:
    """Return the identity of a generation, and its artifact if nothing is left to do.

    With `again`, documents that gave nothing to write about are left to do.
    """
    fields = identity_fields(STAGE, settings)
    if settings.reasoning_effort is None:  # generations from before it existed stay finished
        del fields[f"{STAGE}.reasoning_effort"]
    identity = Identity(STAGE, VERSION, fields, {"documents": documents})
    found = project.find(STAGE, identity.hash8)
    if not found or not project.ledger_path.is_file():
        return identity, None
    if _is_finished(found) and not again:
        log.info("generate: done before (%s)", found.path.name)
        return identity, found
    # The report of a run that ended early lists what is missing.
    return identity, found if project.finished_only else None


def make_texts(
    project: Project,
    settings: GenerateConfig,
    identity: Identity,
    documents: Sequence[Document],
    *,
    wait: bool = True,
    retry_empty: bool = False,
) -> Artifact:
    """Make every planned call that the ledger lacks.

    Without `wait`, a later run collects the batches of a provider. With `retry_empty`, documents
    that gave nothing to write about are tried again.

    Raises:
        UserError: The endpoint cannot be used at all, a document exceeds the context, or most
            documents gave nothing to write about.
    """
    refuse_ranks(STAGE)
    refuse_unfinished(project, identity)
    if not project.find(STAGE, identity.hash8):
        explain_change(project, identity)
    path = project.artifact_path(STAGE, identity.hash8)
    chosen = chosen_documents(settings, documents)
    with Ledger(project.ledger_path) as ledger:
        path.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path)
        with work_time(path / WORK_TIME) as seconds:
            _ask_again(settings, plan_view(settings, chosen, ledger), retry_empty)
            manifest = _make(path, settings, chosen, ledger, wait, project.root)
    # A probe, or the making of another artifact, may have made some of these calls.
    wall_s = round(max(seconds(), manifest["busy_s"]), 2)
    artifact = finish(path, identity, {**manifest, "wall_s": wall_s})
    checks.check_manifest(manifest)
    return artifact


def _is_finished(artifact: Artifact) -> bool:
    manifest = artifact.manifest
    counts = manifest["counts"]
    is_whole = counts["failed"] == counts["to_do"] == 0 and manifest["ended"] is None
    has_text = not any(manifest[name] for name in ("empty_left", "mostly_empty", "beyond_context"))
    is_prepared = not any(each["dead_end"] for each in manifest["without_texts"])
    return (is_whole or manifest["ended"] in ("target", "stop_when")) and has_text and is_prepared


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
        ended = run_generation(settings, view, wait=wait, root=root).ended
        view = plan_view(settings, documents, ledger)
        totals = view.totals()
    _write_facts(path, view)
    return _manifest(settings, view, totals, ended)


def _manifest(
    settings: GenerateConfig, view: PlanView, totals: Totals, ended: str | None
) -> dict[str, Any]:
    beyond = queries.beyond_context(view.ledger)
    urls = ", ".join(base_urls(settings))
    return {
        "counts": totals.counts,
        "beyond_target": totals.beyond_target,
        "exhausted": sorted(view.exhausted),
        "new_information": view.information.windows if view.information else {},
        "submitted": totals.submitted,
        "ended": ended,
        "usage": asdict(totals.usage),
        "by_step": [asdict(step) for step in totals.steps],
        "reasoning_tokens": totals.reasoning_tokens,
        "cost_usd": totals.cost_usd,
        "known_usd": totals.known_usd,
        "unpriced": totals.unpriced,
        "recipes": [recipe.name for recipe in view.recipes],
        "model": settings.model,
        "endpoint": urls or ("a Ray cluster" if settings.engine == "ray" else "in process"),
        "failures": [failure._asdict() for failure in totals.failures],
        "documents": len(view.documents),
        "without_texts": _without_texts(view, totals),
        "beyond_context": [each.id for each in view.documents if each.id in beyond],
        "empty_left": len(view.textless_calls(settings.max_attempts)),
        "mostly_empty": checks.is_mostly_empty(totals.counts),
        "digest": view.digest(),
        "busy_s": round(busy_seconds(view), 2),
    }


def _without_texts(view: PlanView, totals: Totals) -> list[dict[str, Any]]:
    """Return each recipe with the documents that gave it nothing to write about."""
    found = []
    for recipe in view.recipes:
        without = [each for each in totals.without_calls if each.recipe == recipe.name]
        if without:
            found.append(
                {
                    "recipe": recipe.name,
                    "documents": [each.document_id for each in without],
                    "dead_end": checks.is_dead_end(len(without), len(view.documents))
                    and not recipe.links_documents,
                    "linked": recipe.links_documents,
                    "answer": checks.prepared_answer(view, without[0]),
                    "expected": recipe.expected_answer,
                }
            )
    return found


def _write_facts(path: Path, view: PlanView) -> None:
    rows = []
    for recipe in view.recipes:
        for document in view.documents:
            facts = recipe.facts(document, view.preparation(recipe, document).answers)
            if facts is not None:
                rows.append({"document_id": document.id, **facts})
    write_jsonl(path / FACTS_NAME, rows)


def _ask_again(settings: GenerateConfig, view: PlanView, empty: bool) -> None:
    """Turn calls that have ended, and were of no use, into calls to do.

    An answer without text is asked for again by the next run, as often as any call is tried. The
    preparing calls of a document that gave nothing to write about are asked again if `empty`: the
    cause is often fixed at the endpoint, which no setting shows. Those of recipes that link
    documents are not: their answers are good, and only no other document fits. What such calls have
    cost stays counted, as lost (`Ledger.lost`).
    """
    prices = prices_of(settings, next(iter(base_urls(settings)), None))
    if textless := view.textless_calls(settings.max_attempts):
        log.info("generate: %s without text; asking again", plural(len(textless), "answer"))
        _forget(textless, TEXTLESS_REASON, "the answer held no text", view.ledger, prices)
    if empty:
        linking = {recipe.name for recipe in view.recipes if recipe.links_documents}
        without = [each for each in view.totals().without_calls if each.recipe not in linking]
        calls = {
            planned.call.id: subject.document_id
            for subject in without
            for planned in view.preparation(*view.of(subject)).planned
            if planned.record is not None and is_final(planned.record.status)
        }
        asked = plural(len(set(calls.values())), "document")
        log.info("generate: asking again about %s", asked)
        _forget(
            list(calls), "error", "the answers gave nothing to write about", view.ledger, prices
        )


def _forget(
    call_ids: Sequence[str], finish_reason: str, error: str, ledger: Ledger, prices: Prices
) -> None:
    """Leave calls to do once more, and count what they have cost as lost."""
    lost = Lost()
    for record in ledger.get_many(call_ids).values():
        lost = lost.and_(ledger.charge_of(record.completion, prices))
    ledger.forget_outcomes(call_ids, finish_reason, error, lost)
