"""The corpus: accepted and rejected texts in numbers, samples of both, and a comparison.

The comparison puts a generated text beside a recorded one about the same entities.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from steep.core.calls import RAW_RECIPE
from steep.core.formatting import count, listing, plural
from steep.core.ids import stable_hash
from steep.report.blocks import (
    Block,
    PageSection,
    Part,
    Table,
    absent,
)
from steep.report.entity_counts import extracted_names, names_any
from steep.report.html import Html, el, join
from steep.report.run_data import (
    CorpusSummary,
    Documents,
    ReportData,
    SamplePassage,
)
from steep.report.sections.diversity import diversity
from steep.report.sections.samples import card, passage_cards, rejected_cards
from steep.report.sections.source_view import plain_text

SUBSET_NAMES = {0: "no entities named", 1: "single entities", 2: "pairs", 3: "triplets"}
MOST_PARTS = 10  # of a recipe, such as its prompts, with a row each
SIZES = {name: f"a {name} model" for name in ("small", "large")}  # of imported texts without names
COMPARED_AT_ONCE = 100  # generated texts whose counterparts are read together
COMPARISON_SEED = "writers"


def corpus(run: ReportData) -> PageSection:
    """Return the section."""
    title, found, documents = "Corpus", run.corpus, run.documents
    if found is None:
        return PageSection("corpus", title, None, [absent("This run has no corpus.")])
    return PageSection(
        "corpus",
        title,
        "Generated and imported texts after filtering. The samples are drawn by a fixed rule that "
        "spreads them over recipes and documents, without regard to quality.",
        [
            _source_counts(documents) if documents and documents.counts else None,
            _recipe_table(found, extracted_names(run)),
            _reason_table(found),
            diversity(run.diversity),
            _skipped_files(documents) if documents and documents.skipped else None,
            _comparison(run, found),
            *passage_cards(run, found),
            *rejected_cards(run, found),
        ],
    )


def _source_counts(documents: Documents) -> Html:
    counts = documents.counts
    whole, parts, skipped = (counts.get(name, 0) for name in ("documents", "parts", "skipped"))
    sentence = f"{plural(counts.get('files', 0), 'file')} yielded {plural(whole, 'document')}"
    sentence += f", split into {plural(parts, 'part')} for generation" if parts > whole else ""
    unread = plural(skipped, "file or line was", "files or lines were")
    return el("p", f"{sentence}; {unread} skipped." if skipped else f"{sentence}.")


def _skipped_files(documents: Documents) -> Table:
    headings = ("file, or file and line", "", "reason")
    rows = [
        (each.source, "kept" if each.kept else "skipped", each.reason) for each in documents.skipped
    ]
    return Table(headings, rows, texts=range(3))


def _recipe_table(found: CorpusSummary, extracted: frozenset[str]) -> Table:
    parts: defaultdict[str, set[tuple[str, ...]]] = defaultdict(set)
    for passage in found.passages:
        if not names_any(passage.subset, extracted):
            parts[passage.recipe].add(tuple(passage.subset))
    words: defaultdict[str, list[int]] = defaultdict(list)
    for passage in found.passages:
        name = _recipe_name(passage, found, extracted, len(parts[passage.recipe]))
        words[name].append(passage.words)
    rows = [
        (name, len(each), sum(each), count(sum(each) / len(each)))
        for name, each in sorted(words.items())
    ]
    return Table(("recipe", "passages", "words", "words per passage"), rows)


def _recipe_name(
    passage: SamplePassage, found: CorpusSummary, extracted: frozenset[str], parts: int
) -> str:
    """Return a recipe with what its passage is about: entities by number, or one of a few parts."""
    if passage.recipe == RAW_RECIPE:
        return "documents (raw texts)"
    if models := found.imported.get(passage.recipe):
        return f"{passage.recipe}, recorded texts of {model_names(models)}"
    size = len(passage.subset)
    if size and not names_any(passage.subset, extracted):
        few = parts <= MOST_PARTS
        return f"{passage.recipe}, {', '.join(passage.subset)}" if few else passage.recipe
    return f"{passage.recipe}, {SUBSET_NAMES.get(size, f'{size} entities')}"


def model_names(names: Sequence[str]) -> str:
    """Return the models that wrote some texts: `the model 'gpt-4.1'`, or `a large model`."""
    return listing([SIZES.get(name, f"the model '{name}'") for name in names])


def _reason_table(found: CorpusSummary) -> Block:
    reasons = Counter(row.reason for row in found.rejected_rows)
    by_recipe = Counter((row.reason, row.recipe) for row in found.rejected_rows)
    if not reasons:
        return absent("No text was rejected.")
    ranked = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    total = f"{plural(reasons.total(), 'text')} rejected in total."
    rows = [
        (
            reason,
            number,
            ", ".join(f"{name} {n}" for (of, name), n in by_recipe.most_common() if of == reason),
            _example(found.examples.get(reason, ())),
        )
        for reason, number in ranked
    ]
    headings = ("reason for rejection", "texts", "texts by recipe", "examples")
    return Table(headings, rows, total, texts=(0, 2, 3))


def _example(examples: Sequence[Mapping[str, str]]) -> Html | str:
    """Return the excerpts of a few rejected texts, folded after the first."""
    if not examples:
        return ""
    first, *others = (
        el("div", each["excerpt"] or "(no text)", " ", el("code", each["call_id"]), dir="auto")
        for each in examples
    )
    return join([first, el("details", el("summary", "More"), *others)]) if others else first


# ---- a generated text beside a recorded one ------------------------------------------------------


class _Pairing(NamedTuple):
    """Two passages about the same entities of one document, with their texts."""

    generated: SamplePassage
    recorded: SamplePassage
    generated_text: str
    recorded_text: str


def _comparison(run: ReportData, corpus: CorpusSummary) -> Part | None:
    """Return two texts side by side; None unless a run has generated and recorded texts."""
    if (found := _pairing(corpus)) is None:
        return None
    model = run.generation.model if run.generation else "the generator"
    recorder = model_names(corpus.imported[found.recorded.recipe])
    opening = (
        "The generated text is drawn by a fixed rule from the passages about several entities. The "
        "recorded text is the one about the same document that mentions these entities most often."
    )
    cards = [
        _written(run, found.generated, found.generated_text, f"{model}, in this run"),
        _written(run, found.recorded, found.recorded_text, f"{recorder}, recorded and imported"),
    ]
    heading = f"Two texts about {listing(found.generated.subset)}"
    return Part(heading, [opening, el("div", *cards, class_="cards beside")])


def _pairing(corpus: CorpusSummary) -> _Pairing | None:
    """Return the first generated text, in a seeded order, that has a recorded counterpart."""
    recorded: defaultdict[str, list[SamplePassage]] = defaultdict(list)
    for each in corpus.passages:
        if each.recipe in corpus.imported:
            recorded[each.document_id].append(each)
    generated = [
        passage
        for passage in corpus.passages
        if passage.recipe not in {RAW_RECIPE, *corpus.imported}
        and len(passage.subset) > 1
        and passage.document_id in recorded
    ]
    generated.sort(key=lambda each: stable_hash([COMPARISON_SEED, each.id]))
    for first in range(0, len(generated), COMPARED_AT_ONCE):
        some = generated[first : first + COMPARED_AT_ONCE]
        documents = dict.fromkeys(each.document_id for each in some)
        read = [*some, *(each for document in documents for each in recorded[document])]
        texts = corpus.passage_texts([each.id for each in read])
        for passage in some:
            found = _about(passage.subset, recorded[passage.document_id], texts)
            if best := min(found, key=lambda each: each[0], default=None):
                return _Pairing(passage, best[1], texts[passage.id], texts[best[1].id])
    return None


def _about(
    entities: Sequence[str], passages: Sequence[SamplePassage], texts: Mapping[str, str]
) -> Iterator[tuple[tuple[float, str], SamplePassage]]:
    """Yield passages that mention all entities; those with most mentions per word come first."""
    for passage in passages:
        mentions = [texts[passage.id].casefold().count(name.casefold()) for name in entities]
        if all(mentions):
            yield (-min(mentions) / passage.words, passage.id), passage


def _written(run: ReportData, passage: SamplePassage, text: str, writer: str) -> Html:
    provenance = {
        "written by": writer,
        "document": run.title_of(passage.document_id),
        "recipe": passage.recipe,
        "length": plural(passage.words, "word"),
    }
    return card(plain_text(text.strip()), provenance)
