"""Stage 3: completions become passages with their provenance; the rest is rejected and counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from steep.config import Config
from steep.core.artifacts import Artifact, Project
from steep.core.calls import Call
from steep.corpus.artifact import ImportedTexts, make_corpus
from steep.corpus.artifact import totals_of as totals_of
from steep.corpus.passage import Candidate
from steep.documents.document import Document
from steep.generation.plugin_errors import plugin_errors
from steep.generation.setup import chosen_documents, plan_view
from steep.ledger.ledger import Ledger
from steep.ledger.records import CallRecord
from steep.recipes.recipe import Rejected, Step
from steep.stages import documents as documents_stage


def run(
    config: Config, project: Project, documents: Artifact, generated: Artifact | None
) -> Artifact:
    """Filter and rank what was generated and imported; the raw documents come first.

    Raises:
        UserError: A recipe of an installed package fails.
    """
    loaded = documents_stage.load(documents)
    # All ranks of a launcher read it at once; only a project without calls has no ledger yet.
    with Ledger(project.ledger_path, read_only=project.ledger_path.is_file()) as ledger:

        def candidates() -> Iterator[Candidate]:
            return _candidates(config, loaded, ledger) if generated else iter(())

        inputs = {"documents": documents} | ({"generated": generated} if generated else {})
        imported = ImportedTexts(ledger, loaded)
        return make_corpus(project, config.corpus, inputs, loaded, imported, candidates)


def candidates_of(step: Step, call: Call, record: CallRecord) -> Iterator[Candidate]:
    """Yield the text of an answer, or the answer with the reason against it; none if it waits."""
    if record.status == "submitted":
        return
    text: str | Rejected | None = None
    if record.text:
        with plugin_errors(f"recipe '{call.recipe}', step '{step.name}', call {call.id}"):
            text = step.passage(call, record.text)
    rejected = text.reason if isinstance(text, Rejected) else None
    status = record.status if text or record.status != "done" else "empty"
    yield Candidate(
        text=record.text if isinstance(text, Rejected) else text or "",
        document_id=call.document_id,
        call_id=call.id,
        recipe=call.recipe,
        subset=call.subset,
        status=status,
        finish_reason=record.completion.finish_reason,
        rejected=rejected,
        prompt=tuple(part for message in call.messages for part in message.parts),
        quotes=step.quotes_prompt,
    )


def build_so_far(
    config: Config, folder: Path, documents: Sequence[Document], ledger: Ledger
) -> Artifact:
    """Filter and rank what the ledger holds now, generation finished or not, below a folder."""
    imported = ImportedTexts(ledger, documents)
    return make_corpus(
        Project(folder),
        config.corpus,
        {},
        documents,
        imported,
        lambda: _candidates(config, documents, ledger),
    )


def _candidates(
    config: Config, documents: Sequence[Document], ledger: Ledger
) -> Iterator[Candidate]:
    """Yield the texts of the plan that have ended, in the order of the plan."""
    view = plan_view(config.generate, chosen_documents(config.generate, documents), ledger)
    steps = {(recipe.name, each.name): each for recipe in view.recipes for each in recipe.steps}
    for call, record in view.ended():
        step = steps[call.recipe, call.stage]
        if record is not None and step.gives_text:
            yield from candidates_of(step, call, record)
