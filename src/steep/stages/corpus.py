"""Stage 3: completions become passages with their provenance; the rest is rejected and counted."""

from __future__ import annotations

from collections.abc import Iterator

from steep.config import Config
from steep.core.artifacts import Artifact, Project
from steep.corpus.artifact import ImportedTexts, make_corpus
from steep.corpus.artifact import totals_of as totals_of
from steep.corpus.passage import Candidate
from steep.generation.setup import chosen_documents, plan_view
from steep.ledger.ledger import Ledger
from steep.stages import documents as documents_stage


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
            chosen = chosen_documents(config.generate, loaded)
            view = plan_view(config.generate, chosen, ledger)
            steps = {
                (recipe.name, each.name): each for recipe in view.recipes for each in recipe.steps
            }
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
                    prompt=tuple(part for message in call.messages for part in message.parts),
                )

        inputs = {"documents": documents} | ({"generated": generated} if generated else {})
        imported = ImportedTexts(ledger, loaded)
        return make_corpus(project, config.corpus, inputs, loaded, imported, candidates)
