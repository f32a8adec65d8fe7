"""Stage 3: completions become passages with their provenance; the rest is rejected and counted."""

from __future__ import annotations

from collections.abc import Iterator

from steep.config import Config
from steep.core.artifacts import Artifact, Project
from steep.corpus.artifact import ImportedTexts, make_corpus
from steep.corpus.artifact import totals_of as totals_of
from steep.corpus.passage import Candidate
from steep.generation import plan
from steep.ledger.ledger import Ledger
from steep.stages import documents as documents_stage
from steep.stages.generate import counts_of, recipe_of, written_about


def run(
    config: Config, project: Project, documents: Artifact, generated: Artifact | None
) -> Artifact:
    """Filter and rank what was generated and imported; the raw documents come first."""
    loaded = documents_stage.load(documents)
    # All ranks of a launcher read it at once; only a project without calls has no ledger yet.
    with Ledger(project.ledger_path, read_only=project.ledger_path.is_file()) as ledger:

        def candidates() -> Iterator[Candidate]:
            if generated is None:
                return
            recipe, chosen = recipe_of(config.generate), written_about(config.generate, loaded)
            counts = counts_of(config.generate, chosen, ledger)
            for call, record in plan.walk(chosen, recipe, ledger, counts):
                if record is None or record.status == "submitted":
                    continue
                text = recipe.passage(call, record.text) if record.text else ""
                yield Candidate(
                    text=text or "",
                    document_id=call.document_id,
                    call_id=call.id,
                    recipe=call.recipe,
                    subset=call.subset,
                    status=record.status if text or record.status != "done" else "empty",
                    finish_reason=record.completion.finish_reason,
                )

        inputs = {"documents": documents} | ({"generated": generated} if generated else {})
        imported = ImportedTexts.read(ledger, loaded)
        return make_corpus(project, config.corpus, inputs, loaded, imported, candidates)
