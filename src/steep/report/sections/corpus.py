"""The corpus: accepted and rejected texts in numbers, and samples of both."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from steep.core.formatting import count, plural
from steep.core.ids import stable_hash
from steep.core.words import count_words, word_spans
from steep.report.components import (
    PageSection,
    absent,
    count_table,
    facts,
    fold,
    model_names,
    section,
    table,
)
from steep.report.html import Child, Html, el, join
from steep.report.sections.text_comparison import text_comparison
from steep.report.view_models import (
    RAW_RECIPE,
    CorpusSummary,
    Documents,
    RejectedSample,
    ReportData,
    SamplePassage,
)

SAMPLED_PASSAGES = 10
SAMPLED_REJECTED = 3
SHOWN_WORDS = 160  # longer texts are folded after this many
SUBSET_NAMES = {0: "no entities named", 1: "single entities", 2: "pairs", 3: "triplets"}
SEED = "report"
Row = TypeVar("Row")


def corpus(run: ReportData) -> PageSection:
    """Return the section."""
    title, found = "Corpus", run.corpus
    if found is None:
        return section("corpus", title, None, absent("This run has no corpus."))
    return section(
        "corpus",
        title,
        "Generated and imported texts after filtering. The samples are drawn by a fixed rule that "
        "spreads them over the documents, without regard to quality.",
        _source_counts(run.documents) if run.documents and run.documents.counts else None,
        _recipe_table(found),
        _reason_table(found),
        _skipped_files(run.documents) if run.documents and run.documents.skipped else None,
        text_comparison(run),
        *_passage_cards(run, found),
        *_rejected_cards(run, found),
    )


def _source_counts(documents: Documents) -> Html:
    counts = documents.counts
    whole, parts, skipped = (counts.get(name, 0) for name in ("documents", "parts", "skipped"))
    said = f"{plural(counts.get('files', 0), 'file')} yielded {plural(whole, 'document')}"
    said += f", split into {plural(parts, 'part')} for generation" if parts > whole else ""
    unread = plural(skipped, "file or line was", "files or lines were")
    return el("p", f"{said}; {unread} skipped." if skipped else f"{said}.")


def _skipped_files(documents: Documents) -> Html:
    headings = ("skipped file, or file and line", "reason")
    return table(headings, documents.skipped, texts=range(2))


def _recipe_table(found: CorpusSummary) -> Html:
    words: defaultdict[str, list[int]] = defaultdict(list)
    for passage in found.passages:
        words[_recipe_name(passage, found)].append(passage.words)
    rows = [
        (name, len(each), sum(each), count(sum(each) / len(each)))
        for name, each in sorted(words.items())
    ]
    return table(("recipe", "passages", "words", "words per passage"), rows)


def _recipe_name(passage: SamplePassage, found: CorpusSummary) -> str:
    if passage.recipe == RAW_RECIPE:
        return "documents (raw texts)"
    if models := found.imported.get(passage.recipe):
        return f"{passage.recipe}, recorded texts of {model_names(models)}"
    size = len(passage.subset)
    return f"{passage.recipe}, {SUBSET_NAMES.get(size, f'{size} entities')}"


def _reason_table(found: CorpusSummary) -> Html:
    reasons = Counter(row.reason for row in found.rejected_rows)
    if not reasons:
        return absent("No text was rejected.")
    ranked = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    total = f"{plural(reasons.total(), 'text')} rejected in total."
    return count_table("reason for rejection", "texts", ranked, total)


# ---- samples -------------------------------------------------------------------------------------


def sample_passages(passages: Sequence[SamplePassage], wanted: int) -> list[SamplePassage]:
    """Sample synthetic passages of many documents; raw ones only if there are no others."""
    synthetic = [passage for passage in passages if passage.recipe != RAW_RECIPE]
    return _spread(synthetic or passages, wanted, lambda row: row.document_id, lambda row: row.id)


def sample_rejected(rows: Sequence[RejectedSample], wanted: int) -> list[RejectedSample]:
    """Sample rejected texts with many reasons."""
    return _spread(rows, wanted, lambda row: row.reason, lambda row: f"{row.call_id}:{row.index}")


def _spread(
    rows: Sequence[Row],
    wanted: int,
    group_of: Callable[[Row], Hashable],
    identity: Callable[[Row], str],
) -> list[Row]:
    """Take the first of every group, then the second, in an order drawn from the rows' ids."""
    turns: Counter[Hashable] = Counter()
    keyed = []
    for row in sorted(rows, key=lambda row: stable_hash([SEED, identity(row)])):
        keyed.append((turns[group_of(row)], row))
        turns[group_of(row)] += 1
    return [row for _, row in sorted(keyed, key=lambda pair: pair[0])[:wanted]]


def _passage_cards(run: ReportData, found: CorpusSummary) -> list[Html]:
    shown = sample_passages(found.passages, SAMPLED_PASSAGES)
    texts = found.passage_texts([passage.id for passage in shown])
    cards = [_passage_card(run, found, passage, texts[passage.id]) for passage in shown]
    return _cards(plural(len(cards), "sampled passage"), cards)


def _rejected_cards(run: ReportData, found: CorpusSummary) -> list[Html]:
    shown = sample_rejected(found.rejected_rows, SAMPLED_REJECTED)
    texts = found.rejected_texts([row.index for row in shown]) if shown else []
    cards = [_rejected_card(run, row, text) for row, text in zip(shown, texts, strict=True)]
    return _cards(plural(len(cards), "sampled rejected text"), cards)


def _cards(heading: str, cards: Sequence[Html]) -> list[Html]:
    return [el("h3", heading), el("div", *cards, class_="cards")] if cards else []


def _passage_card(run: ReportData, found: CorpusSummary, passage: SamplePassage, text: str) -> Html:
    # Imported texts come without the entities that they were written about.
    imported = passage.recipe in found.imported
    entities = "unknown (imported)" if imported else ", ".join(passage.subset) or "none"
    provenance: list[tuple[str, Child]] = [
        ("document", run.title_of(passage.document_id)),
        ("entities", entities),
        ("recipe", passage.recipe),
        ("rank", count(passage.rank)),
        ("length", plural(passage.words, "word")),
        ("call", el("code", passage.call_id or "none (raw text)")),
    ]
    return el("article", _body(text), facts(provenance, "provenance"), class_="card")


def _rejected_card(run: ReportData, row: RejectedSample, text: str) -> Html:
    provenance: list[tuple[str, Child]] = [
        ("reason", el("strong", row.reason)),
        ("document", run.title_of(row.document_id)),
        ("recipe", row.recipe),
        ("length", plural(count_words(text), "word")),
        ("call", el("code", row.call_id)),
    ]
    shown = _body(text) if text.strip() else el("p", "(no text)", class_="absent")
    return el("article", shown, facts(provenance, "provenance"), class_="card aside")


def _body(text: str) -> Html:
    """Return a text as it stands; the rest of a long one is folded."""
    words = word_spans(text)
    if len(words) <= SHOWN_WORDS * 1.2:
        return el("div", text.strip(), class_="text", dir="auto")
    cut = words[SHOWN_WORDS - 1][1]
    first, rest = text[:cut].strip(), text[cut:].strip()
    folded = el("div", f"\N{HORIZONTAL ELLIPSIS} {rest}", class_="text", dir="auto")
    start = el("div", f"{first} \N{HORIZONTAL ELLIPSIS}", class_="text", dir="auto")
    return join([start, fold("Show the rest", folded)])
