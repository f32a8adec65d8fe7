"""The head of the page: what was taught to what model, the first sentence, the key figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import PurePath

from steep.core.formatting import count, duration, listing, plural
from steep.report.components import cost as cost_text
from steep.report.components import facts
from steep.report.conclusions import headline, normalizer_name
from steep.report.html import Child, Html, el
from steep.report.measures import compared
from steep.report.view_models import RAW_RECIPE, Arm, Compared, ReportData

EMBEDDED_MODEL = "SmolLM2-135M-Instruct"  # what the setting "embedded" means


def trained_model(run: ReportData) -> str:
    """The name of the model that was taught."""
    name = str(run.setting("train", "model") or EMBEDDED_MODEL)
    return EMBEDDED_MODEL if name == "embedded" else PurePath(name).name


def page_title(run: ReportData) -> str:
    """What was taught to what model, as far as that was done."""
    before, model, after = _title_parts(run)
    return f"{before}{model}{after}"


def _title_parts(run: ReportData) -> tuple[str, str, str]:
    """The title before the name of the model, the name, and what follows."""
    model, taught = trained_model(run), _taught(run)
    if not run.arms:
        return f"Texts about {taught} for ", model, ""
    if not run.measured:
        return "", model, f" trained on {taught}"
    return "What ", model, f" learned from {taught}"


def _taught(run: ReportData) -> str:
    total = run.documents.total if run.documents else 0
    return plural(total, "document") if total else "its documents"


def header(run: ReportData) -> Html:
    """Title, the first sentence, key figures."""
    before, model, after = _title_parts(run)
    return el(
        "header",
        el("p", f"Steep report, run {run.name}", class_="eyebrow"),
        el("h1", before, el("span", model), after),
        el("p", _first_sentence(run), class_="lede"),
        el("p", el("strong", "Note. "), remark) if (remark := run.config.get("remark")) else None,
        facts(_key_figures(run), "tiles"),
        el("p", said, class_="opening") if (said := _text_counts(run)) else None,
    )


def _text_counts(run: ReportData) -> str | None:
    """Say what became of the synthetic passages of the key figures: read, held out, or neither."""
    if run.corpus is None or not run.arms:
        return None
    passages = Counter(each.recipe for each in run.corpus.passages)
    synthetic = passages.total() - passages[RAW_RECIPE]
    if not synthetic:
        return None
    read = {recipe for arm in run.arms for recipe in run.reads(arm.name)} & {*passages}
    unread = {recipe: n for recipe, n in passages.items() if recipe not in {*read, RAW_RECIPE}}
    said = [_read_by(run, arm, passages) for arm in run.ordered_arms]
    if unread:
        recipes = listing([f"{recipe} {count(n)}" for recipe, n in unread.items()])
        said.append(f"no arm reads {count(sum(unread.values()))} ({recipes})")
    rejected = len(run.corpus.rejected_rows)
    more = f" The filters rejected {plural(rejected, 'more text', 'more texts')}." * bool(rejected)
    what = plural(synthetic, "synthetic passage")
    return f"Of the {what}, {listing([each for each in said if each])}.{more}"


def _read_by(run: ReportData, arm: Arm, passages: Counter[str]) -> str:
    """How many synthetic passages an arm was trained on; empty where that is not recorded."""
    total = arm.tokenize.get("passages")
    recipes = [recipe for recipe in run.reads(arm.name) if recipe != RAW_RECIPE]
    if total is None:
        return ""
    if not recipes:
        return f"{arm.name} reads none"
    trained_on = total - (passages[RAW_RECIPE] if RAW_RECIPE in run.reads(arm.name) else 0)
    held_out = sum(passages[recipe] for recipe in recipes) - trained_on
    kept = f" ({count(held_out)} held out to measure the loss)" if held_out > 0 else ""
    return f"{arm.name} reads {count(trained_on)}{kept}"


def _first_sentence(run: ReportData) -> str:
    """The differences by the first way of asking that there is; else what was measured at all."""
    for scores, how in _asked(run):
        return headline(scores, how)
    others = [name for key, name in OTHERS.items() if run.measured.get(key)]
    if others:
        return (
            f"No questions were asked closed book in this run. Measured were {listing(others)}: "
            "see below."
        )
    return "No questions were asked in this run, so what the model learned was not measured."


OTHERS = {
    "open_book": "answers with documents at hand",
    "summaries": "summaries from memory",
    "general_text": "the loss on general text",
    "tasks": "tasks of others",
}


def _asked(run: ReportData) -> Iterator[tuple[Compared, str]]:
    """The tables of questions and answers, closed book first, with the way of asking in words."""
    if run.scores:
        measure = normalizer_name(run.scores.normalizer)
        yield run.scores.compared, f"closed book and scored by {measure}"
    if answers := run.measured.get("answers"):
        yield compared(answers), "closed book and answered in writing"
    if short := run.measured.get("short_answers"):
        yield compared(short["exact_match"]), "closed book and answered in free text, word for word"


def _key_figures(run: ReportData) -> list[tuple[str, Child]]:
    figures: list[tuple[str, Child]] = []
    for scores, _ in _asked(run):
        figures.append(("questions", count(scores.questions)))
        break
    if run.corpus:
        synthetic = [p for p in run.corpus.passages if p.recipe != RAW_RECIPE]
        figures.append(("synthetic passages", count(len(synthetic))))
        figures.append(("words in them", count(sum(p.words for p in synthetic))))
    budgets = {int(arm.train.get("tokens") or 0) for arm in run.arms}
    if len(budgets) == 1:
        figures.append(("training tokens per arm", count(budgets.pop())))
    if run.generation:
        cost = cost_text(run.generation.cost_usd, own_machine=False)
        figures.append(("cost of generation", cost))
    if run.wall_s:
        figures.append(("wall time", duration(sum(run.wall_s.values()))))
    return figures
