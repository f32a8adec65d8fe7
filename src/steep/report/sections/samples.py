"""Samples of the corpus: passages beside their documents, and rejected texts with their reasons."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from steep.core.calls import RAW_RECIPE
from steep.core.formatting import count, plural
from steep.core.ids import stable_hash
from steep.core.words import count_words
from steep.corpus.source_spans import RUN_WORDS, SourceText
from steep.report.blocks import Block, absent, facts
from steep.report.html import Html, el
from steep.report.run_data import CorpusSummary, RejectedSample, ReportData, SamplePassage
from steep.report.sections.source_view import folded_text, source_view

SAMPLED_PASSAGES = 10
SAMPLED_REJECTED = 3
SAMPLE_SEED = "report"
Row = TypeVar("Row")


def sample_passages(passages: Sequence[SamplePassage], wanted: int) -> list[SamplePassage]:
    """Sample passages of many recipes and documents; raw texts only if there are no others."""
    synthetic = [passage for passage in passages if passage.recipe != RAW_RECIPE]
    rows = synthetic or passages
    return _spread(rows, wanted, lambda row: (row.recipe, row.document_id), lambda row: row.id)


def sample_rejected(rows: Sequence[RejectedSample], wanted: int) -> list[RejectedSample]:
    """Sample rejected texts with many reasons."""
    return _spread(
        rows, wanted, lambda row: (row.reason,), lambda row: f"{row.call_id}:{row.index}"
    )


def _spread(
    rows: Sequence[Row],
    wanted: int,
    groups_of: Callable[[Row], tuple[str, ...]],
    identity: Callable[[Row], str],
) -> list[Row]:
    """Take the next row of the groups that have the fewest, the first group before the second.

    Within the same groups, and between groups that have the same number, the order is drawn from
    the rows' ids.
    """
    left: dict[tuple[str, ...], deque[Row]] = {}
    for row in sorted(rows, key=lambda row: stable_hash([SAMPLE_SEED, identity(row)])):
        left.setdefault(groups_of(row), deque()).append(row)
    taken: Counter[tuple[int, str]] = Counter()
    found: list[Row] = []
    while left and len(found) < wanted:
        groups = min(left, key=lambda each: [taken[group] for group in enumerate(each)])
        found.append(left[groups].popleft())
        taken.update(enumerate(groups))
        if not left[groups]:
            del left[groups]
    return found


def passage_cards(run: ReportData, found: CorpusSummary) -> list[Block]:
    """Return sampled passages, each beside its document."""
    shown = sample_passages(found.passages, SAMPLED_PASSAGES)
    texts = found.passage_texts([passage.id for passage in shown])
    ids = {passage.document_id for passage in shown if passage.recipe != RAW_RECIPE}
    sources = run.documents.sources(ids) if run.documents and ids else {}
    cards = [
        _passage_card(run, found, passage, _view(run, number, passage, texts, sources))
        for number, passage in enumerate(shown)
    ]
    return _cards(plural(len(cards), "sampled passage"), cards, _legend() if sources else ())


def _view(
    run: ReportData,
    number: int,
    passage: SamplePassage,
    texts: Mapping[str, str],
    sources: Mapping[str, SourceText],
) -> Html:
    text = texts[passage.id]
    if passage.document_id not in sources:
        return folded_text(text)
    title = run.title_of(passage.document_id)
    return source_view(number, text, sources[passage.document_id], title)


def _legend() -> list[Block]:
    styles = (
        ("run", f"at least {RUN_WORDS} words as in the document"),
        ("known", "another name or number of the document"),
        ("new", "a name or number that the document does not have"),
    )
    keys = [el("li", el("mark", name, class_=class_)) for class_, name in styles]
    return [
        "Each passage stands beside its document. Point at marked words, or move between them with "
        "the arrow keys, to see where they come from; a click keeps the place. A new name or "
        "number needs a look: it may be invented, calculated, spelled out in the document, or come "
        "from another document that the prompt had. The cards show parts of the documents: who may "
        "not read the documents may not read this page.",
        el("ul", *keys, class_="legend"),
    ]


def rejected_cards(run: ReportData, found: CorpusSummary) -> list[Block]:
    """Return sampled rejected texts."""
    shown = sample_rejected(found.rejected_rows, SAMPLED_REJECTED)
    texts = found.rejected_texts([row.index for row in shown]) if shown else []
    cards = [_rejected_card(run, row, text) for row, text in zip(shown, texts, strict=True)]
    return _cards(plural(len(cards), "sampled rejected text"), cards)


def _cards(heading: str, cards: Sequence[Html], opening: Sequence[Block] = ()) -> list[Block]:
    return [el("h3", heading), *opening, el("div", *cards, class_="cards")] if cards else []


def card(body: Html, provenance: Mapping[str, Html | str], class_: str = "card") -> Html:
    """Return a text with its provenance."""
    return el("article", body, facts(provenance.items(), "provenance"), class_=class_)


def _passage_card(
    run: ReportData, found: CorpusSummary, passage: SamplePassage, body: Html
) -> Html:
    # Imported texts come without the entities that they were written about.
    imported = passage.recipe in found.imported
    provenance: dict[str, Html | str] = {
        "document": run.title_of(passage.document_id),
        "entities": "unknown (imported)" if imported else ", ".join(passage.subset) or "none",
        "recipe": passage.recipe,
        "rank": count(passage.rank),
        "length": plural(passage.words, "word"),
        "call": el("code", passage.call_id or "none (raw text)"),
    }
    return card(body, provenance)


def _rejected_card(run: ReportData, row: RejectedSample, text: str) -> Html:
    provenance: dict[str, Html | str] = {
        "reason": el("strong", row.reason),
        "document": run.title_of(row.document_id),
        "recipe": row.recipe,
        "length": plural(count_words(text), "word"),
        "call": el("code", row.call_id),
    }
    shown = folded_text(text) if text.strip() else absent("(no text)")
    return card(shown, provenance, "card aside")
