"""A text of this run beside a recorded one about the same entities: what a generator is worth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from steep.core.formatting import listing, plural
from steep.core.ids import stable_hash
from steep.report.components import facts, model_names
from steep.report.html import Child, Html, el
from steep.report.view_models import RAW_RECIPE, CorpusSummary, ReportData, SamplePassage

SEED = "writers"


class Pairing(NamedTuple):
    """Two passages about the same entities of one document, with their texts."""

    written: SamplePassage
    recorded: SamplePassage
    written_text: str
    recorded_text: str


def writers(run: ReportData) -> Html | None:
    """Two texts side by side; None where a run has only texts of one origin."""
    if run.corpus is None or (found := pairing(run.corpus)) is None:
        return None
    live = run.generation.model if run.generation else "the generator"
    models = model_names(run.corpus.imported[found.recorded.recipe])
    names = listing([*found.written.subset])
    return el(
        "div",
        el("h3", f"Two writers on the same entities: {names}"),
        el(
            "p",
            "The text of this run is drawn by a fixed rule among those about several entities; "
            "beside it stands the recorded text on the same document that names the same entities "
            "most often.",
        ),
        el(
            "div",
            _card(run, found.written, found.written_text, f"{live}, in this run"),
            _card(run, found.recorded, found.recorded_text, f"{models}, recorded and imported"),
            class_="cards beside",
        ),
    )


def pairing(corpus: CorpusSummary) -> Pairing | None:
    """The first text of this run, in a seeded order, that has a recorded counterpart."""
    live = [
        passage
        for passage in corpus.passages
        if passage.recipe not in {RAW_RECIPE, *corpus.imported} and len(passage.subset) > 1
    ]
    for written in sorted(live, key=lambda passage: stable_hash([SEED, passage.id])):
        near = [
            passage
            for passage in corpus.passages
            if passage.recipe in corpus.imported and passage.document_id == written.document_id
        ]
        texts = corpus.passage_texts([written.id, *(passage.id for passage in near)])
        ranked = sorted(_about(written.subset, near, texts), key=lambda found: found[0])
        if ranked:
            recorded = ranked[0][1]
            return Pairing(written, recorded, texts[written.id], texts[recorded.id])
    return None


def _about(
    entities: Sequence[str], passages: Sequence[SamplePassage], texts: Mapping[str, str]
) -> Iterator[tuple[tuple[float, str], SamplePassage]]:
    """Passages that name all entities; those with the most mentions per word come first."""
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
