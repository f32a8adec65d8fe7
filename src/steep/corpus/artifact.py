"""The corpus as an artifact: candidates from recipes and imports, filtered, ranked and counted."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from steep.core.artifacts import Artifact, Identity, Project, build
from steep.core.config import identity_fields
from steep.core.files import row_writer
from steep.corpus.config import CorpusConfig
from steep.corpus.passage import PASSAGES_NAME, REJECTED_NAME, Candidate, Passage, RejectedText
from steep.documents.document import Document
from steep.ledger.ledger import Ledger
from steep.ledger.records import CORPUS_STAGE, IMPORT_ENDPOINT

VERSION = 3


class ImportedTexts:
    """The imported texts about known documents, read from the ledger when they are needed."""

    def __init__(self, ledger: Ledger, documents: Sequence[Document]) -> None:
        self._ledger = ledger
        self._known = {document.whole_id for document in documents}

    def candidates(self) -> Iterator[Candidate]:
        """Yield the texts as candidates, in an order independent of when they were imported."""
        for record in self._ledger.imported():
            if record.document_id in self._known:
                yield Candidate(
                    text=record.text,
                    document_id=record.document_id,
                    call_id=record.call_id,
                    recipe=record.recipe,
                    subset=record.subset,
                    status=record.status,  # type: ignore[arg-type]  # never "submitted"
                    finish_reason=record.completion.finish_reason,
                    is_passage=record.stage == CORPUS_STAGE,
                    quotes=record.stage == CORPUS_STAGE,
                )

    def digest(self) -> str:
        """Return a hash of which texts there are, and in which order."""
        state = hashlib.blake2b(digest_size=8)
        for call_id, *_ in self._rows():
            state.update(f"{call_id}\n".encode())
        return state.hexdigest()

    def models_by_recipe(self) -> dict[str, list[str]]:
        """Return the models that wrote the texts, by recipe."""
        models: dict[str, set[str]] = {}
        for _, recipe, model in self._rows():
            models.setdefault(recipe, set()).add(model)
        return {recipe: sorted(models[recipe]) for recipe in sorted(models)}

    def _rows(self) -> Iterator[tuple[str, str, str]]:
        """Yield id, recipe and model of each text."""
        query = (
            f"SELECT id, recipe, model, document_id FROM calls WHERE endpoint = '{IMPORT_ENDPOINT}'"
            " ORDER BY id"
        )
        for *row, document_id in self._ledger.select(query):
            if document_id in self._known:
                yield row[0], row[1], row[2]


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
    fields = {
        **identity_fields("corpus", settings),
        "imported texts": imported.digest(),
        "generated texts": inputs["generated"].manifest["digest"]
        if "generated" in inputs
        else None,
    }

    def make(directory: Path) -> dict[str, Any]:
        from steep.corpus.build import build_corpus

        candidates = itertools.chain(generated(), imported.candidates())
        with (
            row_writer(directory / PASSAGES_NAME, Passage) as keep,
            row_writer(directory / REJECTED_NAME, RejectedText) as reject,
        ):
            totals = build_corpus(documents, candidates, settings, keep, reject)
        return {
            "counts": totals.counts,
            "rejected": totals.reasons,
            "by_recipe": totals.by_recipe,
            "rejected_by_recipe": totals.reasons_by_recipe,
            "rejected_examples": totals.examples,
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
