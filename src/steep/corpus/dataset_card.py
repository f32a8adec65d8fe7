"""The dataset card of an exported corpus: a README.md with the YAML header that the Hub reads.

It names no host, no local path and no document.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from steep.core.formatting import cost_of, plural, shorten
from steep.corpus.export import DATA, ExportedPassage, RecipeTotals

SHOWN_CHARACTERS = 400  # of a sample
# https://huggingface.co/docs/hub/datasets-cards: the sizes that the Hub knows
_SIZES = (
    (10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"), (10**8, "10M<n<100M"), (10**9, "100M<n<1B"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PlannedCalls:
    """How many of the planned calls have ended; the numbers add up."""

    planned: int
    ended: int
    failed: int
    to_do: int

    @property
    def is_finished(self) -> bool:
        """Whether no planned call is left."""
        return not self.failed and not self.to_do


@dataclass(frozen=True, slots=True)
class CorpusCard:
    """What a dataset card tells.

    Attributes:
        name: Of the data set.
        license: An identifier of the Hub, such as `cc-by-4.0`, `other` or `unknown`.
        languages: ISO 639-1 codes, the commonest first.
        steep: The version that wrote the export.
        documents: The number of source documents.
        totals: Of the exported passages, by recipe.
        rejected: The number of rejected texts by recipe and reason.
        filters: The settings of the filters.
        settings: The sampling parameters and other settings of the generation.
        recipes: The options of each recipe of the generation.
        prompts: A hash of the prompt of each recipe and step, which changes with its words.
        progress: Of the generation.
        calls: Number of all calls of the project, rejected and preparing ones included.
        known_usd: Their cost, as far as prices are known.
        unpriced: The number of calls whose cost is unknown.
        has_documents: Whether the source documents are exported beside the passages.
    """

    name: str
    license: str
    languages: tuple[str, ...]
    steep: str
    documents: int
    totals: Mapping[str, RecipeTotals]
    rejected: Mapping[str, Mapping[str, int]]
    filters: Mapping[str, Any]
    settings: Mapping[str, Any]
    recipes: Mapping[str, Mapping[str, Any]]
    prompts: Mapping[str, str]
    progress: PlannedCalls
    calls: int
    known_usd: float
    unpriced: int
    has_documents: bool = field(default=False)

    @property
    def passages(self) -> int:
        """The number of exported passages."""
        return sum(each.passages for each in self.totals.values())


def card_text(card: CorpusCard) -> str:
    """Return the dataset card."""
    header = yaml.safe_dump(_header(card), sort_keys=False, allow_unicode=True)
    return f"---\n{header}---\n\n" + "\n".join(_body(card)) + "\n"


def _header(card: CorpusCard) -> dict[str, Any]:
    size = next((name for limit, name in _SIZES if card.passages < limit), "n>1T")
    files = {recipe: own.files for recipe, own in card.totals.items()}
    configs = {"default": [f"{DATA}/*.parquet"], **files} if files else {}
    return {
        "pretty_name": card.name,
        "license": card.license,
        "language": list(card.languages),
        "task_categories": ["text-generation"],
        "size_categories": [size],
        "tags": ["synthetic", "continued-pretraining", "steep"],
        "configs": [
            {"config_name": name, "data_files": [{"split": "train", "path": paths}]}
            for name, paths in configs.items()
        ],
    }


def _body(card: CorpusCard) -> Iterator[str]:
    yield f"# {card.name}"
    yield ""
    yield (
        f"{plural(card.passages, 'synthetic text')} about {plural(card.documents, 'document')}, "
        "written by language models for continued pretraining."
    )
    progress = card.progress
    yield ""
    if progress.is_finished:
        yield f"Generation is finished: {plural(progress.planned, 'planned call')} have ended."
    else:
        yield (
            f"**Generation is not finished**: {progress.planned:,} planned calls = "
            f"{progress.ended:,} ended + {progress.failed:,} failed + {progress.to_do:,} to do. "
            "This is the corpus of the texts so far."
        )
    yield from _sizes(card)
    yield from _columns()
    yield from _generation(card)
    yield from _filters(card)
    yield from _samples(card)
    yield from _use(card)


def _sizes(card: CorpusCard) -> Iterator[str]:
    yield from ("", "## Size", "", "| recipe | passages | words | tokens in | tokens out | cost |")
    yield "|---|---|---|---|---|---|"
    for recipe, own in card.totals.items():
        yield (
            f"| {recipe} | {own.passages:,} | {own.words:,} | {own.prompt_tokens:,} | "
            f"{own.completion_tokens:,} | {cost_of(own.cost_usd, own.unpriced)} |"
        )
    yield from ("", "Tokens and costs are those of the calls that gave these passages; those of ")
    yield "imported texts are not known. All calls of the project, those that prepare and those "
    yield (
        f"whose texts were rejected included: {plural(card.calls, 'call')}, cost "
        f"{cost_of(card.known_usd, card.unpriced)}."
    )


def _columns() -> Iterator[str]:
    from dataclasses import fields

    yield from ("", "## Columns", "")
    documented = (ExportedPassage.__doc__ or "").partition("Attributes:")[2]
    meanings = dict(line.strip().split(": ", 1) for line in documented.strip().splitlines())
    for each in fields(ExportedPassage):
        yield f"- `{each.name}`: {meanings[each.name]}"


def _generation(card: CorpusCard) -> Iterator[str]:
    yield from ("", "## Generation", "")
    for recipe, own in card.totals.items():
        yield f"- `{recipe}` was written by {', '.join(sorted(own.models))}."
    for recipe, options in card.recipes.items():
        yield f"- Options of `{recipe}`: {_listed(options)}"
    yield f"- Settings: {_listed(card.settings)}"
    yield f"- Prompts by recipe and step, as hashes of their words: {_listed(card.prompts)}"
    yield f"- Made with Steep {card.steep}."


def _filters(card: CorpusCard) -> Iterator[str]:
    yield from ("", "## Filters", "", f"Settings: {_listed(card.filters)}", "")
    for recipe, reasons in card.rejected.items():
        yield f"- `{recipe}`: {sum(reasons.values()):,} rejected ({_listed(reasons)})"
    if not card.rejected:
        yield "No text was rejected."


def _samples(card: CorpusCard) -> Iterator[str]:
    yield from ("", "## Samples")
    for recipe, own in card.totals.items():
        for each in own.samples:
            about = f" about {', '.join(each.subset)}" if each.subset else ""
            yield from ("", f"`{recipe}`{about}, by {each.model}:", "")
            yield from (f"> {line}" for line in shorten(each.text, SHOWN_CHARACTERS).split("\n"))


def _use(card: CorpusCard) -> Iterator[str]:
    yield from ("", "## Use", "", "```python", "from datasets import load_dataset", "")
    yield 'texts = load_dataset("PATH_OR_NAME", split="train")'
    for recipe in list(card.totals)[:1]:
        yield f'only = load_dataset("PATH_OR_NAME", "{recipe}", split="train")'
    yield from ("```", "")
    where = (
        "`documents.jsonl` beside this file holds the source documents"
        if card.has_documents
        else "the source documents are not part of this data set"
    )
    yield f"In a project of Steep with the same documents ({where}), `steep import --corpus DIR`"
    yield "adds the texts at no cost; `steep corpus` then builds the same passages in this order."


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "none"
