"""What was kept, what was rejected, and some of both to read."""

from __future__ import annotations

from collections import Counter

from steep.core.formatting import count, plural
from steep.core.words import count_words, word_spans
from steep.report.charts import bar_cell
from steep.report.components import (
    Column,
    PageSection,
    absent,
    facts,
    fold,
    model_names,
    section,
    table,
    text_column,
)
from steep.report.html import Child, Html, el, join
from steep.report.sampling import sample_passages, sample_rejected
from steep.report.sections.writers import writers
from steep.report.view_models import (
    RAW_RECIPE,
    CorpusSummary,
    RejectedSample,
    ReportData,
    SamplePassage,
)

SAMPLED_PASSAGES = 10
SAMPLED_REJECTED = 3
SHOWN_WORDS = 160  # longer texts are folded after so many
SUBSET_NAMES = {0: "no entities named", 1: "single entities", 2: "pairs", 3: "triplets"}


def corpus(run: ReportData) -> PageSection:
    """What was kept, what was rejected, and some of both to read."""
    title = "The corpus"
    if run.corpus is None:
        return section("corpus", title, None, absent("This run has no corpus."))
    found = run.corpus
    shown = sample_passages(found.passages, SAMPLED_PASSAGES)
    texts = found.passage_texts([passage.id for passage in shown])
    aside = sample_rejected(found.rejected_rows, SAMPLED_REJECTED)
    rejected_texts = found.rejected_texts([row.index for row in aside]) if aside else []
    cards = [_passage_card(run, found, passage, texts[passage.id]) for passage in shown]
    rejected_cards = [
        _rejected_card(run, row, text) for row, text in zip(aside, rejected_texts, strict=True)
    ]
    return section(
        "corpus",
        title,
        "What was written and imported, after filtering. The passages to read are drawn by a fixed "
        "rule, spread over the documents, and not chosen for their looks.",
        _sources(run),
        _recipe_table(found),
        _reason_table(found),
        _skipped_documents(run),
        writers(run),
        el("h3", f"{plural(len(cards), 'sampled passage')}") if cards else None,
        el("div", *cards, class_="cards"),
        el("h3", "Rejected, for example") if rejected_cards else None,
        el("div", *rejected_cards, class_="cards") if rejected_cards else None,
    )


def _sources(run: ReportData) -> Html | None:
    """From files to documents; parts are what long documents were split into."""
    counts = run.documents.counts if run.documents else {}
    if not counts:
        return None
    documents, parts = counts.get("documents", 0), counts.get("parts", 0)
    said = f"{plural(counts.get('files', 0), 'file')} gave {plural(documents, 'document')}"
    said += f", split into {plural(parts, 'part')} for the generator" if parts > documents else ""
    skipped = counts.get("skipped", 0)
    unread = plural(skipped, "file or line of a file", "files or lines of files")
    return el("p", f"{said}; {unread} could not be read." if skipped else f"{said}.")


def _recipe_table(found: CorpusSummary) -> Html:
    passages: Counter[str] = Counter()
    words: Counter[str] = Counter()
    for passage in found.passages:
        name = _recipe_name(passage, found)
        passages[name] += 1
        words[name] += passage.words
    rows: list[list[Child]] = [
        [name, count(n), count(words[name]), count(words[name] / n)]
        for name, n in sorted(passages.items())
    ]
    columns = [
        text_column("recipe"),
        Column("passages"),
        Column("words"),
        Column("words per passage"),
    ]
    return table(columns, rows)


def _recipe_name(passage: SamplePassage, found: CorpusSummary) -> str:
    if passage.recipe == RAW_RECIPE:
        return "documents (the raw texts)"
    if models := found.imported.get(passage.recipe):
        return f"{passage.recipe}, recorded texts of {model_names(models)}"
    size = len(passage.subset)
    return f"{passage.recipe}, {SUBSET_NAMES.get(size, f'{size} entities')}"


def _reason_table(found: CorpusSummary) -> Html:
    reasons = Counter(row.reason for row in found.rejected_rows)
    if not reasons:
        return absent("Nothing was rejected.")
    most = max(reasons.values())
    rows: list[list[Child]] = [
        [reason, bar_cell(n / most), count(n)]
        for reason, n in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    ]
    total = plural(sum(reasons.values()), "candidate")
    columns = [text_column("rejected because"), text_column(""), Column("candidates")]
    return table(columns, rows, f"{total} in all.")


def _skipped_documents(run: ReportData) -> Html | None:
    skipped = run.documents.skipped if run.documents else ()
    if not skipped:
        return None
    rows: list[list[Child]] = [[source, reason] for source, reason in skipped]
    return table(
        [text_column("file, or file and line, that could not be read"), text_column("reason")], rows
    )


def _passage_card(run: ReportData, found: CorpusSummary, passage: SamplePassage, text: str) -> Html:
    provenance: list[tuple[str, Child]] = [
        ("document", run.title_of(passage.document_id)),
        ("entities", _entities(found, passage)),
        ("recipe", passage.recipe),
        ("rank", count(passage.rank)),
        ("length", plural(passage.words, "word")),
        ("call", el("code", passage.call_id or "none (raw text)")),
    ]
    return el("article", _body(text), facts(provenance, "provenance"), class_="card")


def _entities(found: CorpusSummary, passage: SamplePassage) -> str:
    """The entities that a passage was asked to be about; imported texts do not say them."""
    if passage.recipe in found.imported:
        return "not given with imported texts"
    return ", ".join(passage.subset) or "none asked for"


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
    """A text as it stands, the rest of a long one folded."""
    words = word_spans(text)
    if len(words) <= SHOWN_WORDS * 1.2:
        return el("div", text.strip(), class_="text", dir="auto")
    cut = words[SHOWN_WORDS - 1][1]
    first, rest = text[:cut], text[cut:]
    folded = el("div", "\N{HORIZONTAL ELLIPSIS} ", rest.strip(), class_="text", dir="auto")
    start = el("div", first.strip(), " \N{HORIZONTAL ELLIPSIS}", class_="text", dir="auto")
    return join([start, fold("The rest of it", folded)])
