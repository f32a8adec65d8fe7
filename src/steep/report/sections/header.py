"""The header of the page: the main result in a sentence, and the main numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import PurePath

from steep.core.calls import RAW_RECIPE
from steep.core.formatting import (
    count,
    dollars,
    duration,
    interval,
    listing,
    percent,
    plural,
    points,
)
from steep.evaluation.config import BASE
from steep.evaluation.results import Comparison, ModelComparison
from steep.report.blocks import facts
from steep.report.conclusions import headline
from steep.report.html import Html, el
from steep.report.results import document_count, estimate, question_count
from steep.report.run_data import Arm, ReportData
from steep.report.sections.generation import cost
from steep.scaling.results import Bounded, per_point

EMBEDDED_MODEL = "SmolLM2-135M-Instruct"  # what the setting "embedded" means


def trained_model(run: ReportData) -> str:
    """Return the name of the model that was trained."""
    name = str(run.setting("train", "model") or EMBEDDED_MODEL)
    return EMBEDDED_MODEL if name == "embedded" else PurePath(name).name


def page_title(run: ReportData) -> str:
    """Return the title of the page, by what the run did."""
    return "".join(_title_parts(run))


def _title_parts(run: ReportData) -> tuple[str, str, str]:
    """Return the title before the name of the model, the name, and the rest."""
    total = len(run.documents.titles) if run.documents else 0
    model, taught = trained_model(run), plural(total, "document") if total else "its documents"
    if not run.arms:
        return f"Texts about {taught} for ", model, ""
    if not run.tables:
        return "", model, f" trained on {taught}"
    return "What ", model, f" learned from {taught}"


def header(run: ReportData) -> Html:
    """Return the header."""
    before, model, after = _title_parts(run)
    return el(
        "header",
        el("p", f"Steep report, run {run.name}", class_="eyebrow"),
        el("h1", before, el("span", model), after),
        el("p", _first_sentence(run), class_="lede"),
        el("p", el("strong", "Note. "), remark) if (remark := run.config.get("remark")) else None,
        facts(_key_figures(run), "tiles"),
        el("p", sentences, class_="opening") if (sentences := _text_counts(run)) else None,
    )


def _text_counts(run: ReportData) -> str | None:
    """Return how many synthetic passages each arm reads, and how many none does."""
    if run.corpus is None or not run.arms:
        return None
    passages = Counter(each.recipe for each in run.corpus.passages)
    synthetic = passages.total() - passages[RAW_RECIPE]
    if not synthetic:
        return None
    read = {recipe for arm in run.arms for recipe in run.reads(arm.name)} & {*passages}
    unread = {recipe: n for recipe, n in passages.items() if recipe not in {*read, RAW_RECIPE}}
    sentences = [each for arm in run.ordered_arms if (each := _read_by(run, arm, passages))]
    if unread:
        recipes = listing([f"{recipe} {count(n)}" for recipe, n in unread.items()])
        sentences.append(f"no arm reads {count(sum(unread.values()))} ({recipes})")
    if not sentences:
        return None
    rejected = len(run.corpus.rejected_rows)
    more = f" The filters rejected {plural(rejected, 'more text', 'more texts')}." * bool(rejected)
    what = plural(synthetic, "synthetic passage")
    return f"Of the {what}, {listing(sentences)}.{more}"


def _read_by(run: ReportData, arm: Arm, passages: Counter[str]) -> str:
    """Return how many synthetic passages an arm was trained on; empty if that is unknown."""
    total = arm.passages
    recipes = [recipe for recipe in run.reads(arm.name) if recipe != RAW_RECIPE]
    if total is None:
        return ""
    if not recipes:
        return f"{arm.name} reads none"
    if uses := [each for each in arm.mix if each.source != RAW_RECIPE]:
        counts = [
            f"{each.source} {count(each.passages)} of {count(each.available_passages)}"
            for each in uses
        ]
        read = count(sum(each.passages for each in uses))
        return f"{arm.name} reads {read} by its shares of tokens ({', '.join(counts)})"
    trained_on = total - (passages[RAW_RECIPE] if RAW_RECIPE in run.reads(arm.name) else 0)
    held_out = sum(passages[recipe] for recipe in recipes) - trained_on
    kept = f" ({count(held_out)} held out to measure the loss)" if held_out > 0 else ""
    return f"{arm.name} reads {count(trained_on)}{kept}"


def _first_sentence(run: ReportData) -> str:
    """Return the differences by the first closed-book method, or what was measured instead."""
    tables = run.tables
    for scores, how in tables.closed_book():
        return headline(scores, how)
    others = [
        name
        for name, found in (
            ("open-book accuracy", tables.open_book),
            ("summaries from memory", tables.summaries),
            ("loss on general text", tables.general_text),
            ("benchmark tasks", tables.tasks),
            *((found.title, found) for found in tables.others.values()),
        )
        if found
    ]
    if others:
        return f"This run has no closed-book questions. It measured {listing(others)}: see below."
    return (
        "This run has no questions (evaluate.questions), so what the model learned was not "
        "measured."
    )


def _key_figures(run: ReportData) -> Iterator[tuple[str, Html | str]]:
    """Yield the main numbers: what was gained, how sure that is, and what it took."""
    for scores, _ in run.tables.closed_book()[:1]:
        if gain := _largest_gain(run, scores):
            yield from _gain_figures(run, gain)
        documents = plural(document_count(scores), "document")
        yield ("questions", _figure(count(question_count(scores)), f"about {documents}"))
    if run.corpus:
        synthetic = [each for each in run.corpus.passages if each.recipe != RAW_RECIPE]
        words = f"{count(sum(each.words for each in synthetic))} words"
        yield ("synthetic passages", _figure(count(len(synthetic)), words))
    tokens = {arm.tokens or 0 for arm in run.arms}
    if len(tokens) == 1:
        yield ("training tokens per arm", count(tokens.pop()))
    if run.generation:
        yield ("generation cost", cost(run.generation.cost_usd, own_machine=False))
    if run.wall_s:
        yield ("wall time", duration(sum(run.wall_s.values())))


def _largest_gain(run: ReportData, scores: ModelComparison) -> Comparison | None:
    """Return the largest planned difference to the base, of arms with synthetic texts first."""
    pairs = [pair for pair in scores.pairs if pair.planned and pair.b == BASE]
    return max(pairs, key=lambda pair: (run.reads_synthetic(pair.a), pair.difference), default=None)


def _gain_figures(run: ReportData, gain: Comparison) -> Iterator[tuple[str, Html | str]]:
    found = estimate(gain)
    assert found is not None
    spread = interval(found.low, found.high, signed=True)
    yield (f"points, {gain.a} over {gain.b}", _figure(points(found.value), spread))
    open_book = run.tables.open_book
    for each in open_book.shares if open_book else ():
        share = estimate(each.share) if each.model == gain.a and each.share else None
        if share:
            shown = interval(share.low, share.high, decimals=0)
            yield ("of the gain of retrieval, closed book", _figure(percent(share.value, 0), shown))
    recipes = set(run.setting("generate", "recipes") or {})
    read = recipes <= set(run.reads(gain.a))  # else the cost is that of other texts, too
    usd = run.generation.cost_usd if run.generation and read else None
    bounded = Bounded(value=gain.difference, low=gain.low, high=gain.high)
    if usd and (price := per_point(usd, bounded)):
        shown = f"[{dollars(price.low)}, {dollars(price.high)}]"
        yield ("generation cost per point", _figure(dollars(price.value), shown))


def _figure(value: str, detail: str) -> Html:
    return el("span", value, el("span", detail, class_="detail"))
