"""The corpus as an artifact: candidates from recipes and imports, filtered, ranked and counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steep.core.artifacts import Artifact, Identity, Project, build
from steep.core.files import write_rows
from steep.core.ids import stable_hash
from steep.corpus.config import CorpusConfig
from steep.corpus.passage import PASSAGES_NAME, REJECTED_NAME, Candidate, Passage, RejectedText
from steep.documents.document import Document
from steep.ledger.ledger import Ledger
from steep.ledger.records import CORPUS_STAGE, CallRecord

VERSION = 2


@dataclass(frozen=True, slots=True)
class ImportedTexts:
    """Imported texts about known documents, as records of the ledger."""

    records: tuple[CallRecord, ...]

    @classmethod
    def read(cls, ledger: Ledger, documents: Sequence[Document]) -> ImportedTexts:
        """Read the imported texts about these documents."""
        known = {document.whole_id for document in documents}
        return cls(tuple(each for each in ledger.imported() if each.document_id in known))

    def candidates(self) -> Iterator[Candidate]:
        """Return the texts as candidates, in the order of their import."""
        for record in self.records:
            if record.status != "submitted":
                yield Candidate(
                    text=record.text,
                    document_id=record.document_id,
                    call_id=record.call_id,
                    recipe=record.recipe,
                    subset=record.subset,
                    status=record.status,
                    finish_reason=record.completion.finish_reason,
                    is_passage=record.stage == CORPUS_STAGE,
                )

    def models_by_recipe(self) -> dict[str, list[str]]:
        """Return the models that wrote the texts, by recipe."""
        models: dict[str, set[str]] = {}
        for record in self.records:
            models.setdefault(record.recipe, set()).add(record.model)
        return {recipe: sorted(models[recipe]) for recipe in sorted(models)}


def make_corpus(
    project: Project,
    settings: CorpusConfig,
    inputs: Mapping[str, Artifact],
    documents: Sequence[Document],
    imported: ImportedTexts,
    generated: Callable[[], Iterable[Candidate]],
) -> Artifact:
    """Filter and rank generated and imported texts; the raw documents come first.

    `inputs` are the artifact of the documents, and of the generation if there is one; `generated`
    is called only if the corpus is missing.
    """
    ids = [candidate.call_id for candidate in imported.candidates()]
    fields = {
        **{f"corpus.{name}": value for name, value in settings.model_dump(mode="json").items()},
        "imported texts": stable_hash(ids, 8),
        "generated texts": inputs["generated"].manifest["digest"]
        if "generated" in inputs
        else None,
    }

    def make(directory: Path) -> dict[str, Any]:
        from steep.corpus.build import build_corpus

        corpus = build_corpus(documents, [*generated(), *imported.candidates()], settings)
        write_rows(directory / PASSAGES_NAME, corpus.passages, Passage)
        write_rows(directory / REJECTED_NAME, corpus.rejected, RejectedText)
        return {
            "counts": corpus.counts,
            "rejected": corpus.reasons,
            "by_recipe": corpus.by_recipe,
            "rejected_by_recipe": corpus.reasons_by_recipe,
            "imported": imported.models_by_recipe(),
        }

    return build(project, Identity("corpus", VERSION, fields, inputs), make)


def totals_of(artifact: Artifact) -> list[str]:
    """Return one line of totals for all texts, and one for each recipe; the numbers add up."""
    kept = {recipe: of["passages"] for recipe, of in artifact.manifest["by_recipe"].items()}
    rejected: dict[str, dict[str, int]] = artifact.manifest["rejected_by_recipe"]
    lines = [_totals("all texts", sum(kept.values()), artifact.manifest["rejected"])]
    recipes = [*kept, *(recipe for recipe in rejected if recipe not in kept)]
    lines += [_totals(name, kept.get(name, 0), rejected.get(name, {})) for name in recipes]
    if removed := artifact.manifest["counts"]["phrases_removed"]:
        lines.append(f"assistant phrases around the text were removed from {removed}")
    return lines


def _totals(name: str, passages: int, reasons: Mapping[str, int]) -> str:
    total = sum(reasons.values())
    line = f"{name}: {passages + total} candidates = {passages} passages + {total} rejected"
    listed = ", ".join(f"{number} {reason}" for reason, number in reasons.items())
    return f"{line} ({listed})" if listed else line
