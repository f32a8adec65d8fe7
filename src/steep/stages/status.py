"""What is done and what is to do, without doing or writing anything; and questions to the ledger.

Each function returns what `--json` prints. What is not known is None, never zero.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from steep.config import Config
from steep.core.artifacts import Artifact, Project
from steep.core.errors import UserError
from steep.generation import checks, requeue
from steep.generation.plan import PlanView, Totals, preparing_steps
from steep.generation.pricing import base_urls, prices_of, project_budget
from steep.generation.recipes import chosen_documents, plan_view
from steep.ledger import queries, requests
from steep.ledger.ledger import Ledger
from steep.ledger.queries import Sums
from steep.ledger.records import IMPORT_ENDPOINT, CallRecord
from steep.ledger.store import connect
from steep.stages import documents

SHOWN = (
    "documents", "generate", "corpus", "tokenize", "train", "instruct", "score", "answer", "short",
    "retrieve", "open-book", "summary", "judge", "judged", "general-loss", "tasks", "evaluate",
)  # fmt: skip


def status_of(config: Config, project: Project) -> dict[str, Any]:
    """The totals of the plan, the spending of the ledger, and the finished artifacts."""
    loaded = chosen_documents(config.generate, documents.peek(config, project))
    with open_ledger(project) as ledger:
        bought = queries.bought(ledger)  # before the plan: a running generation adds to both
        view = plan_view(config.generate, loaded, ledger)
        totals = view.totals() if view.recipes else None
        failed = bought.sums.counts.get("failed", 0)
        calls = bought.sums.calls - failed
        in_plan = totals.planned - totals.to_do + totals.submitted if totals else 0
        return {
            "plan": totals.counts if totals else None,
            "reasoning_tokens": (totals.reasoning_tokens or None) if totals else None,
            "submitted": totals.submitted if totals else 0,
            "beyond_target": totals.beyond_target if totals else 0,
            "unprepared": len(totals.unprepared) if totals else 0,
            "rest": _rest(view, totals) if totals else None,
            "asked_again": len(requeue.textless_calls(view, config.generate.max_attempts)),
            "failures": [failure._asdict() for failure in totals.failures] if totals else [],
            "documents": len(loaded),
            "without_texts": [each._asdict() for each in totals.without_calls] if totals else [],
            "ledger": {
                "calls": calls,
                "failed": failed,
                "not_in_plan": max(0, calls + failed - in_plan),
                "imported": bought.imported,
                "lost": ledger.lost()._asdict(),
                **_spending(bought.sums),
            },
            "requests": [asdict(each) for each in requests.costs(ledger)],
            "limits": _limits(config, ledger),
            "batches": _batches(ledger),
            "artifacts": _artifacts(project),
        }


def documents_of(project: Project, limit: int) -> dict[str, Any]:
    """What each document in the ledger cost, the most expensive first."""
    with open_ledger(project) as ledger:
        costs = queries.document_costs(ledger)
        return {
            "documents": [_cost(each) for each in costs[:limit]],
            "of": len(costs),
            "total": _spending(queries.together(each.sums for each in costs)),
        }


def document_of(config: Config, project: Project, document_id: str, limit: int) -> dict[str, Any]:
    """What one document cost, why nothing is written about it if so, and its first calls.

    Raises:
        UserError: The ledger holds nothing on it.
    """
    with open_ledger(project) as ledger:
        cost = queries.document_cost(ledger, document_id)
        entries = cost.sums.calls + cost.imported
        if not entries:
            raise UserError(
                f"The ledger holds nothing on a document '{document_id}'.",
                where=ledger.path,
                hint="steep status --documents lists those that it knows",
            )
        records = queries.calls_of_document(ledger, document_id, limit)
        return {
            **_cost(cost),
            "why_nothing": _why_nothing(config, project, document_id, ledger),
            "calls": [_brief(each) for each in records],
            "of": entries,
        }


def entity_of(project: Project, entity: str, limit: int) -> dict[str, Any]:
    """The first texts about an entity, with the messages that asked for them.

    Raises:
        UserError: There is no text about it.
    """
    with open_ledger(project) as ledger:
        found = queries.about(ledger, entity, limit)
        if not found.total:
            near = queries.entities_like(ledger, entity)
            raise UserError(
                f"No text in the ledger is about '{entity}'.",
                where=ledger.path,
                expected=f"an entity, e.g. {', '.join(near)}"
                if near
                else "an entity of a document",
            )
        texts = [
            {**_brief(record), "messages": _messages(ledger, record), "text": record.text}
            for record in found.records
        ]
        return {"entity": entity, "texts": texts, "of": found.total}


def failed_of(project: Project, limit: int) -> dict[str, Any]:
    """Why calls gave no whole answer: failed, skipped, refused, cut off or without text."""
    with open_ledger(project) as ledger:
        groups = [*queries.failures(ledger), *requests.failures(ledger)]
    return {
        "reasons": [group._asdict() for group in groups[:limit]],
        "of": len(groups),
        "calls": sum(group.calls for group in groups),
    }


def call_of(project: Project, call_id: str) -> dict[str, Any]:
    """All about one call.

    Raises:
        UserError: The ledger does not know it, or more than one begins like that.
    """
    with open_ledger(project) as ledger:
        if (asked := requests.find(ledger, call_id)) is not None:
            return _request(asked)
        record, _, sampling, batch = queries.full_call(ledger, call_id)
        completion = record.completion
        return {
            **_brief(record),
            "recipe": record.recipe,
            "sample": record.sample,
            "model": record.model,
            "sampling": sampling,
            "finish_reason": completion.finish_reason,
            "usage": asdict(completion.usage),
            "latency_s": completion.latency_s,
            "endpoint": completion.endpoint,
            "attempts": completion.attempts,
            "batch": batch,
            "messages": _messages(ledger, record),
            "text": record.text,
        }


def _request(asked: requests.FullRequest) -> dict[str, Any]:
    """All about a request of an evaluation, a judge or a search."""
    request, completion = asked.request, asked.completion
    return {
        "call_id": request.id,
        "purpose": request.purpose,
        "kind": request.kind,
        "model": request.model,
        "parameters": request.parameters,
        "status": asked.status,
        "finish_reason": completion.finish_reason,
        "usage": asdict(completion.usage),
        "cost_usd": completion.cost_usd,
        "latency_s": completion.latency_s,
        "endpoint": completion.endpoint,
        "attempts": completion.attempts,
        "error": completion.error,
        "recorded_at": asked.finished_at,
        "parts": list(request.parts),
        "result": completion.result,
    }


def _limits(config: Config, ledger: Ledger) -> dict[str, Any]:
    """What the project has spent as its limits count it; no dollars where a price is unknown."""
    settings = config.generate
    budget = project_budget(settings, ledger)
    prices = [prices_of(settings, url) for url in base_urls(settings) or [None]]
    known = all(each.known for each in prices)
    return {
        "max_cost_usd": settings.max_cost_usd,
        "max_total_tokens": settings.max_total_tokens,
        "spent_tokens": budget.spent_tokens,
        "spent_usd": budget.spent_usd if known else None,
    }


def _why_nothing(config: Config, project: Project, document_id: str, ledger: Ledger) -> str | None:
    loaded = documents.peek(config, project)
    view = plan_view(config.generate, loaded, ledger)
    own = next((document for document in loaded if document.id == document_id), None)
    return None if own is None else checks.why_nothing(view, own)


def _rest(view: PlanView, totals: Totals) -> dict[str, Any] | None:
    """What is known of the calls of unprepared documents: what the others have."""
    if not totals.unprepared:
        return None
    calls = [
        sum(each.number for each in texts)
        for recipe in view.recipes
        for document in view.documents
        if preparing_steps(recipe) and (texts := view.texts(recipe, document)) is not None
    ]
    return {
        "documents": len({each.document_id for each in totals.unprepared}),
        "prepared": len(calls),
        "fewest_calls": min(calls, default=None),
        "mean_calls": round(sum(calls) / len(calls), 1) if calls else None,
        "most_calls": max(calls, default=None),
    }


def _batches(ledger: Ledger) -> list[dict[str, Any]]:
    waiting = queries.waiting_calls(ledger)
    return [{**asdict(batch), "waiting": waiting.get(batch.token, 0)} for batch in ledger.batches()]


def _artifacts(project: Project) -> list[dict[str, Any]]:
    return [
        {
            "stage": stage,
            "arm": artifact.manifest["identity"]["fields"].get("arm"),
            "variant": artifact.manifest.get("variant"),
            "path": str(artifact.path.relative_to(project.root)),
            "wall_s": artifact.manifest["wall_s"],
            "tokens_per_second": _rate(artifact),
        }
        for stage in SHOWN
        for artifact in project.finished(stage)
    ]


def _rate(artifact: Artifact) -> float | None:
    """Return the tokens per second of a generation or a training, over all its runs."""
    manifest = artifact.manifest
    match artifact.stage:
        case "generate":
            tokens, seconds = manifest["usage"]["completion_tokens"], manifest.get("busy_s")
        case "train" | "instruct":
            tokens = manifest.get("tokens", 0)
            seconds = manifest.get("last", {}).get("elapsed_s")
        case _:
            return None
    return round(tokens / seconds, 1) if seconds else None


def _spending(sums: Sums) -> dict[str, Any]:
    return {
        "usage": asdict(sums.usage),
        "cost_usd": None if sums.unpriced else sums.known_usd,
        "known_usd": sums.known_usd,
        "unpriced": sums.unpriced,
    }


def _cost(cost: queries.DocumentCost) -> dict[str, Any]:
    return {
        "document_id": cost.document_id,
        "counts": dict(cost.sums.counts),
        "imported": cost.imported,
        **_spending(cost.sums),
    }


def _brief(record: CallRecord) -> dict[str, Any]:
    completion = record.completion
    return {
        "call_id": record.call_id,
        "document_id": record.document_id,
        "stage": record.stage,
        "subset": record.subset,
        "status": record.status,
        "imported": completion.endpoint == IMPORT_ENDPOINT,
        "cost_usd": completion.cost_usd,
        "error": completion.error,
        "recorded_at": record.finished_at,
    }


def _messages(ledger: Ledger, record: CallRecord) -> list[dict[str, str]]:
    messages = ledger.messages_of(record.call_id) or ()
    return [{"role": each.role, "content": each.content} for each in messages]


@contextmanager
def open_ledger(project: Project) -> Iterator[Ledger]:
    """The project's ledger, or an empty one somewhere else while there is none."""
    if project.ledger_path.is_file():
        with Ledger(project.ledger_path, read_only=True) as ledger:
            yield ledger
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        connect(path, write=True).close()  # without a lock, which some file systems do not have
        with Ledger(path, read_only=True) as ledger:
            yield ledger
