"""The head of the page: what was taught to what model, the first sentence, the key figures."""

from __future__ import annotations

from pathlib import PurePath

from steep.report.blocks import facts
from steep.report.findings import headline
from steep.report.html import Child, Html, el
from steep.report.records import RAW_RECIPE, Run
from steep.report.wording import count, duration, plural, usd

EMBEDDED_MODEL = "SmolLM2-135M-Instruct"  # what the setting "embedded" means


def trained_model(run: Run) -> str:
    """The name of the model that was taught."""
    name = str(run.setting("train", "model") or EMBEDDED_MODEL)
    return EMBEDDED_MODEL if name == "embedded" else PurePath(name).name


def page_title(run: Run) -> str:
    """What was taught to what model."""
    return f"What {trained_model(run)} learned from {_taught(run)}"


def _taught(run: Run) -> str:
    total = run.documents.total if run.documents else 0
    return plural(total, "document") if total else "its documents"


def header(run: Run) -> Html:
    """Title, the first sentence, key figures."""
    if run.scores:
        lede = headline(run.scores)
    else:
        lede = "No questions were asked in this run, so what the model learned was not measured."
    return el(
        "header",
        el("p", f"Steep report, run {run.name}", class_="eyebrow"),
        el("h1", "What ", el("span", trained_model(run)), f" learned from {_taught(run)}"),
        el("p", lede, class_="lede"),
        facts(_key_figures(run), "tiles"),
    )


def _key_figures(run: Run) -> list[tuple[str, Child]]:
    figures: list[tuple[str, Child]] = []
    if run.scores:
        figures.append(("questions", count(max(m.overall.n for m in run.scores.models))))
    if run.corpus:
        synthetic = [p for p in run.corpus.passages if p.recipe != RAW_RECIPE]
        figures.append(("synthetic passages", count(len(synthetic))))
        figures.append(("words in them", count(sum(p.words for p in synthetic))))
    budgets = {int(arm.train.get("tokens") or 0) for arm in run.arms}
    if len(budgets) == 1:
        figures.append(("training tokens an arm", count(budgets.pop())))
    if run.generation:
        cost = usd(run.generation.cost_usd, own_machine=False)
        figures.append(("cost of generation", cost))
    if run.wall_s:
        figures.append(("wall time", duration(sum(run.wall_s.values()))))
    return figures
