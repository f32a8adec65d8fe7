"""Stage 3: completions become passages, with their provenance; the rest is rejected, counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from steep.config import Config
from steep.core.artifacts import Artifact, Identity, Project, build
from steep.core.ids import stable_hash
from steep.corpus.passage import Candidate
from steep.corpus.store import PASSAGES_NAME, REJECTED_NAME, write_passages, write_rejected
from steep.documents.document import Document
from steep.generation.plan import PlanView
from steep.generation.recipes import chosen_documents, plan_view
from steep.ledger.ledger import Ledger
from steep.ledger.records import CallRecord
from steep.stages import documents as documents_stage

VERSION = 2


def run(
    config: Config, project: Project, documents: Artifact, generated: Artifact | None
) -> Artifact:
    """Filter and rank what was generated and imported; the raw documents come first."""
    loaded = documents_stage.load(documents)
    # Ranks of a launcher look at it at once; only a project without calls has none to look at.
    with Ledger(project.ledger_path, read_only=project.ledger_path.is_file()) as ledger:
        records = _imported_records(loaded, ledger)
        imported = list(_imported(records))
        fields = {
            f"corpus.{name}": value for name, value in config.corpus.model_dump(mode="json").items()
        }
        fields["imported texts"] = stable_hash([candidate.call_id for candidate in imported], 8)
        fields["generated texts"] = generated.manifest["digest"] if generated else None
        inputs = {"documents": documents} | ({"generated": generated} if generated else {})

        def make(directory: Path) -> dict[str, Any]:
            from steep.corpus.build import build_corpus

            chosen = chosen_documents(config.generate, loaded)
            view = plan_view(config.generate, chosen, ledger)
            candidates = [*(_generated(view) if generated else ()), *imported]
            corpus = build_corpus(loaded, candidates, config.corpus)
            write_passages(directory / PASSAGES_NAME, corpus.passages)
            write_rejected(directory / REJECTED_NAME, corpus.rejected)
            return {
                "counts": corpus.counts,
                "rejected": corpus.reasons,
                "by_recipe": corpus.by_recipe,
                "rejected_by_recipe": corpus.reasons_by_recipe,
                "imported": _models_by_recipe(records),
            }

        return build(project, Identity("corpus", VERSION, fields, inputs), make)


def totals_of(artifact: Artifact) -> list[str]:
    """Say what became of the candidates: of all, then of each recipe; the numbers add up."""
    kept = {recipe: of["passages"] for recipe, of in artifact.manifest["by_recipe"].items()}
    rejected: dict[str, dict[str, int]] = artifact.manifest["rejected_by_recipe"]
    lines = [_totals("all texts", sum(kept.values()), artifact.manifest["rejected"])]
    recipes = [*kept, *(recipe for recipe in rejected if recipe not in kept)]
    lines += [_totals(name, kept.get(name, 0), rejected.get(name, {})) for name in recipes]
    removed = artifact.manifest["counts"]["phrases_removed"]
    if removed:
        lines.append(f"what an assistant says around a text was removed from {removed}")
    return lines


def _totals(name: str, passages: int, reasons: Mapping[str, int]) -> str:
    total = sum(reasons.values())
    line = f"{name}: {passages + total} candidates = {passages} passages + {total} rejected"
    listed = ", ".join(f"{number} {reason}" for reason, number in reasons.items())
    return f"{line} ({listed})" if listed else line


def _generated(view: PlanView) -> Iterator[Candidate]:
    steps = {(recipe.name, step.name): step for recipe in view.recipes for step in recipe.steps}
    for call, record in view.ended():
        if record is None or record.status == "submitted":
            continue
        step = steps[call.recipe, call.stage]
        text = step.passage(call, record.text) if record.text else ""
        yield Candidate(
            text=text or "",
            document_id=call.document_id,
            call_id=call.id,
            recipe=call.recipe,
            subset=call.subset,
            status=record.status if text or record.status != "done" else "empty",
            finish_reason=record.completion.finish_reason,
        )


def _imported_records(documents: Sequence[Document], ledger: Ledger) -> list[CallRecord]:
    known = {document.whole_id for document in documents}
    return [record for record in ledger.imported() if record.document_id in known]


def _imported(records: Sequence[CallRecord]) -> Iterator[Candidate]:
    for record in records:
        if record.status != "submitted":
            yield Candidate(
                text=record.text,
                document_id=record.document_id,
                call_id=record.call_id,
                recipe=record.recipe,
                subset=record.subset,
                status=record.status,
                finish_reason=record.completion.finish_reason,
            )


def _models_by_recipe(records: Sequence[CallRecord]) -> dict[str, list[str]]:
    """Who wrote the imported texts."""
    models: dict[str, set[str]] = {}
    for record in records:
        models.setdefault(record.recipe, set()).add(record.model)
    return {recipe: sorted(models[recipe]) for recipe in sorted(models)}
