"""Export the corpus with a dataset card, also while generation runs."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from steep import __version__
from steep.config import Config
from steep.core.artifacts import Artifact, Project
from steep.core.errors import UserError
from steep.core.files import write_json, write_jsonl, write_text
from steep.core.ids import stable_hash
from steep.corpus.passage import PASSAGES_NAME
from steep.documents.document import Document
from steep.documents.language import document_language
from steep.generation.plan import is_final
from steep.generation.setup import chosen_documents, plan_view, recipes_of
from steep.ledger import queries
from steep.ledger.ledger import Ledger, open_ledger
from steep.recipes.recipe import RecipeOptions
from steep.stages import corpus as corpus_stage
from steep.stages import documents as documents_stage
from steep.stages.export_directory import check_export_directory
from steep.stages.finished_artifacts import without_log_lines

if TYPE_CHECKING:
    from steep.corpus.dataset_card import CorpusCard, PlannedCalls
    from steep.corpus.export import RecipeTotals

MARK = "steep-corpus.json"  # in a directory that an export has written
CARD, DOCUMENTS = "README.md", "documents.jsonl"
UPLOADED = (CARD, DOCUMENTS, MARK, "data/*")  # by --push
SETTINGS = (
    "temperature", "top_p", "max_tokens", "reasoning_tokens", "frequency_penalty", "seed",
    "target_tokens",
)  # fmt: skip
PRIVATE_OPTIONS = {"text"}  # of a recipe: a prompt of the user
LANGUAGE_SAMPLE = 200  # documents whose language is detected
PROBE = Document("id", "Title", "A text.")  # prompts about it tell the words of the prompts


@dataclass(frozen=True, slots=True)
class ExportedCorpus:
    """A written directory, its totals by recipe, and how far generation is."""

    directory: Path
    totals: dict[str, RecipeTotals]
    progress: PlannedCalls


class CorpusSoFar(NamedTuple):
    """The corpus of what the ledger holds now; its files go with the context."""

    artifact: Artifact
    documents: tuple[Document, ...]
    ledger: Ledger

    @property
    def passages(self) -> Path:
        """The file of the passages."""
        return self.artifact.path / PASSAGES_NAME


@contextmanager
def corpus_so_far(config: Config, project: Project) -> Iterator[CorpusSoFar]:
    """Build the corpus of what the ledger holds now, beside a running generation.

    The filters are those of `steep corpus`; nothing is written into the project.
    """
    documents = documents_stage.peek(config, project)
    with open_ledger(project) as ledger, tempfile.TemporaryDirectory() as folder:
        with without_log_lines():
            artifact = corpus_stage.build_so_far(config, Path(folder), documents, ledger)
        yield CorpusSoFar(artifact, documents, ledger)


def run(
    config: Config,
    project: Project,
    directory: Path,
    license: str = "unknown",
    *,
    with_documents: bool = False,
) -> ExportedCorpus:
    """Write the passages so far as Parquet with a dataset card.

    Args:
        config: The configuration.
        project: The project; nothing is written there.
        directory: A new or empty directory, or one of an earlier export, which is updated.
        license: The license that the card names.
        with_documents: Write the source documents beside the passages.

    Raises:
        UserError: The directory holds other files, or there is no text yet.
    """
    from steep.corpus.dataset_card import card_text
    from steep.corpus.export import write_data

    check_export_directory(directory, MARK)
    with corpus_so_far(config, project) as found:
        if not any(found.artifact.manifest["by_recipe"].keys() - {"documents"}):
            raise UserError(
                "There is no synthetic text to export yet.",
                where=project.ledger_path,
                hint="steep generate, or steep import",
            )
        progress = _progress(config, found)
        write_json(directory / MARK, {"kind": "corpus", "steep": __version__})
        totals = write_data(directory, found.passages, found.ledger)
        card = _card(config, found, totals, progress, license, with_documents)
    if with_documents:
        _write_documents(config, project, directory / DOCUMENTS)
    else:
        (directory / DOCUMENTS).unlink(missing_ok=True)
    write_text(directory / CARD, card_text(card))
    return ExportedCorpus(directory, totals, progress)


def _progress(config: Config, found: CorpusSoFar) -> PlannedCalls:
    from steep.corpus.dataset_card import PlannedCalls

    chosen = chosen_documents(config.generate, found.documents)
    totals = plan_view(config.generate, chosen, found.ledger).totals()
    ended = totals.planned - totals.failed - totals.to_do
    return PlannedCalls(totals.planned, ended, totals.failed, totals.to_do)


def _card(
    config: Config,
    found: CorpusSoFar,
    totals: dict[str, RecipeTotals],
    progress: PlannedCalls,
    license: str,
    with_documents: bool,
) -> CorpusCard:
    from steep.corpus.dataset_card import CorpusCard

    settings = config.generate
    paid, _ = queries.paid(found.ledger)
    manifest = found.artifact.manifest
    return CorpusCard(
        name=config.name,
        license=license,
        languages=languages_of(found.documents),
        steep=__version__,
        documents=manifest["counts"]["documents"],
        totals=totals,
        rejected=manifest["rejected_by_recipe"],
        filters={name: each for name, each in config.corpus if not isinstance(each, Path)},
        settings={name: getattr(settings, name) for name in SETTINGS},
        recipes={name: _public_options(options) for name, options in settings.recipes.items()},
        prompts={
            f"{recipe.name}/{step.name}": stable_hash(
                [[each.role, each.content] for each in step.specimen(PROBE).messages], 8
            )
            for recipe in recipes_of(settings)
            for step in recipe.steps
        },
        progress=progress,
        calls=sum(number for status, number in paid.counts.items() if is_final(status)),
        known_usd=paid.known_usd,
        unpriced=paid.unpriced,
        has_documents=with_documents,
    )


def _public_options(options: RecipeOptions) -> dict[str, Any]:
    """Return the options of a recipe without local paths and prompts of the user."""
    paths = {name for name, value in options if isinstance(value, Path)}
    return options.model_dump(mode="json", exclude=PRIVATE_OPTIONS | paths)


def languages_of(documents: Sequence[Document]) -> tuple[str, ...]:
    """Return the languages of documents as ISO 639-1 codes, the commonest first."""
    codes = Counter(document_language(each.text) for each in documents[:LANGUAGE_SAMPLE])
    return tuple(code for code, _ in codes.most_common() if code is not None)


def _write_documents(config: Config, project: Project, path: Path) -> None:
    """Write the source documents, whole, in the format that `documents.path` reads."""
    unsplit = config.documents.model_copy(update={"split_words": None, "split_tokens": None})
    whole = config.model_copy(update={"documents": unsplit})
    write_jsonl(
        path,
        [
            {
                name: value
                for name in ("id", "title", "text", "author", "year")
                if (value := getattr(each, name)) is not None
            }
            for each in documents_stage.peek(whole, project)
        ],
    )
