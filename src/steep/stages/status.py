"""What is done and what is to do, without doing or writing anything, as `--json` prints it.

What is not known is None, never zero.
"""

from __future__ import annotations

from typing import Any

from steep.config import Config
from steep.core.artifacts import Artifact, Project
from steep.generation.checks import why_nothing
from steep.generation.setup import chosen_documents, plan_view
from steep.generation.status import plan_status
from steep.ledger import queries
from steep.ledger.ledger import open_ledger
from steep.stages import documents

SHOWN = (
    "documents", "questions", "generate", "corpus", "diversity", "tokenize", "subset", "train",
    "instruct", "score", "answer", "short", "retrieve", "open-book", "summary", "judge", "judged",
    "general-loss", "tasks", "evaluate", "scale", "compare",
)  # fmt: skip


def status_of(config: Config, project: Project) -> dict[str, Any]:
    """Return the totals of the plan, the spending of the ledger, and the finished artifacts."""
    loaded = chosen_documents(config.generate, documents.peek(config, project))
    with open_ledger(project) as ledger:
        found = plan_status(config.generate, loaded, ledger)
    return {**found, "artifacts": _artifacts(project)}


def document_of(config: Config, project: Project, document_id: str, limit: int) -> dict[str, Any]:
    """Return what one document cost, why nothing is written about it if so, and its first calls.

    Raises:
        UserError: The ledger holds nothing on it, and no recipe says why.
    """
    with open_ledger(project) as ledger:
        loaded = chosen_documents(config.generate, documents.peek(config, project))
        own = next((document for document in loaded if document.id == document_id), None)
        why = own and why_nothing(plan_view(config.generate, loaded, ledger), own)
        found = queries.document_of(ledger, document_id, limit, may_be_empty=why is not None)
    return {**found, "why_nothing": why}


def _artifacts(project: Project) -> list[dict[str, Any]]:
    return [
        {
            "stage": stage,
            "arm": artifact.manifest["identity"]["fields"].get("arm"),
            "variant": _variant(artifact),
            "path": str(artifact.path.relative_to(project.root)),
            "wall_s": artifact.manifest["wall_s"],
            "tokens_per_second": _rate(artifact),
            "device": artifact.manifest["identity"]["fields"].get("device"),
            "mix": artifact.manifest.get("mix", []),
        }
        for stage in SHOWN
        for artifact in project.finished(stage)
    ]


def _variant(artifact: Artifact) -> str | None:
    """Return what distinguishes an artifact from others of its stage and arm."""
    if artifact.stage == "questions":
        return "reviewed" if "review" in artifact.manifest["identity"]["fields"] else "written"
    variant: str | None = artifact.manifest.get("variant")
    return variant


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
