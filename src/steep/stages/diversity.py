"""Measure the diversity of the corpus, after it was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from steep.core.artifacts import Artifact, Project
from steep.core.files import read_jsonl
from steep.corpus.diversity_artifact import make_diversity
from steep.documents.document import Document
from steep.generation.artifact import FACTS_NAME
from steep.ledger.ledger import open_ledger
from steep.stages import documents as documents_stage


def run(
    project: Project, documents: Artifact, generated: Artifact | None, corpus: Artifact
) -> Artifact:
    """Measure the passages of each recipe; the entities are those that the generator listed."""
    loaded = documents_stage.load(documents)
    with open_ledger(project) as ledger:

        def models_of(call_ids: Sequence[str]) -> Mapping[str, str]:
            return dict(ledger.select_ids("id, model", call_ids))

        entities = _entities(generated, loaded) if generated else {}
        return make_diversity(project, corpus, loaded, entities, models_of)


def _entities(generated: Artifact, documents: Sequence[Document]) -> dict[str, list[str]]:
    """Return the entities of whole documents, over all recipes and parts."""
    whole_of = {document.id: document.whole_id for document in documents}
    found: dict[str, list[str]] = {}
    for row in read_jsonl(generated.path / FACTS_NAME):
        names = found.setdefault(whole_of[row["document_id"]], [])
        names += [name for name in row.get("entities", ()) if name not in names]
    return found
