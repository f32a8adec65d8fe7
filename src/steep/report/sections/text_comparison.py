"""A generated text beside a recorded one about the same entities, to compare generators."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from steep.core.formatting import listing, plural
from steep.core.ids import stable_hash
from steep.report.components import facts, model_names, part
from steep.report.html import Child, Html, el
from steep.report.view_models import RAW_RECIPE, CorpusSummary, ReportData, SamplePassage

SEED = "writers"


class _Pairing(NamedTuple):
    """Two passages about the same entities of one document, with their texts."""

    generated: SamplePassage
    recorded: SamplePassage
    generated_text: str
    recorded_text: str


def text_comparison(run: ReportData) -> Html | None:
    """Return two texts side by side; None unless a run has generated and recorded texts."""
    if run.corpus is None or (found := _pairing(run.corpus)) is None:
        return None
    model = run.generation.model if run.generation else "the generator"
    recorder = model_names(run.corpus.imported[found.recorded.recipe])
    return part(
        f"Two texts about {listing(found.generated.subset)}",
        el(
            "p",
            "The generated text is drawn by a fixed rule from the passages about several entities. "
            "The recorded text is the one about the same document that mentions these entities "
            "most often.",
        ),
        el(
            "div",
            _card(run, found.generated, found.generated_text, f"{model}, in this run"),
            _card(run, found.recorded, found.recorded_text, f"{recorder}, recorded and imported"),
            class_="cards beside",
        ),
    )


def _pairing(corpus: CorpusSummary) -> _Pairing | None:
    """Return the first generated text, in a seeded order, that has a recorded counterpart."""
    generated = [
        passage
        for passage in corpus.passages
        if passage.recipe not in {RAW_RECIPE, *corpus.imported} and len(passage.subset) > 1
    ]
    for passage in sorted(generated, key=lambda each: stable_hash([SEED, each.id])):
        recorded = [
            each
            for each in corpus.passages
            if each.recipe in corpus.imported and each.document_id == passage.document_id
        ]
        texts = corpus.passage_texts([passage.id, *(each.id for each in recorded)])
        if ranked := sorted(_about(passage.subset, recorded, texts), key=lambda each: each[0]):
            best = ranked[0][1]
            return _Pairing(passage, best, texts[passage.id], texts[best.id])
    return None


def _about(
    entities: Sequence[str], passages: Sequence[SamplePassage], texts: Mapping[str, str]
) -> Iterator[tuple[tuple[float, str], SamplePassage]]:
    """Yield passages that mention all entities; those with most mentions per word come first."""
    for passage in passages:
        mentions = [texts[passage.id].casefold().count(name.casefold()) for name in entities]
        if all(mentions):
            yield (-min(mentions) / passage.words, passage.id), passage


def _card(run: ReportData, passage: SamplePassage, text: str, writer: str) -> Html:
    provenance: list[tuple[str, Child]] = [
        ("written by", writer),
        ("document", run.title_of(passage.document_id)),
        ("recipe", passage.recipe),
        ("length", plural(passage.words, "word")),
    ]
    body = el("div", text.strip(), class_="text", dir="auto")
    return el("article", body, facts(provenance, "provenance"), class_="card")
