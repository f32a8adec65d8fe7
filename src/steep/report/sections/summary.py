"""The summary: one chart of all models with and without retrieval, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator

from steep.evaluation.results import ModelComparison, ModelScore
from steep.report.blocks import Block, Bullets, Figure, PageSection, Part, Series
from steep.report.charts import Whisker, WhiskerGroup, whisker_chart
from steep.report.comparisons import accuracy_axis, accuracy_whisker, common, n_detail
from steep.report.html import Html
from steep.report.next_steps import next_steps
from steep.report.results import ResultTables, chance_of, estimate
from steep.report.run_data import ReportData
from steep.report.sections.retrieval_share import share_sentence


def summary(run: ReportData) -> PageSection | None:
    """Return the section; None if nothing was measured and nothing follows."""
    steps = next_steps(run)
    open_book = run.tables.open_book
    shares = [share_sentence(each) for each in open_book.shares] if open_book else []
    blocks: list[Block] = [
        _chart(run.tables),
        Bullets(shares) if shares else None,
        Part("Next steps", [Bullets(steps)]) if steps else None,
    ]
    if not any(blocks):
        return None
    return PageSection("summary", "Summary", None, blocks)


def _chart(tables: ResultTables) -> Figure | None:
    """Return the accuracy of each model over all questions, closed book and with retrieval."""
    found = next(iter(tables.closed_book()), None)
    if found is None:
        return None
    scores, how = found
    own = {"closed book": [*_rows(scores)], "with retrieval": _retrieved(tables, scores)}
    if not own["closed book"]:
        return None
    retrieved = " and with retrieval" if own["with retrieval"] else ""
    title, chance = f"Accuracy closed book by {how}{retrieved}", chance_of(scores)
    guessing = "" if chance is None else " The dashed line is guessing."
    caption = f"{title}, over all questions, with 95% intervals clustered by document.{guessing}"

    def draw(series: Series) -> Html:
        groups = [
            WhiskerGroup(label, _detail(models), [_whisker(model, series) for model in models])
            for label, models in own.items()
            if models
        ]
        return whisker_chart(groups, accuracy_axis(chance), title)

    return Figure(caption, draw)


def _rows(found: ModelComparison) -> Iterator[ModelScore]:
    """Yield the models, and arms with several seeds in place of their models."""
    seeded = {name for arm in found.arms for name in arm.by_model}
    models = (model for model in found.models if model.name not in seeded)
    yield from (each for each in (*models, *found.arms) if estimate(each))


def _retrieved(tables: ResultTables, closed: ModelComparison) -> list[ModelScore]:
    """Return the models with retrieval, if they are scored as closed book."""
    found = tables.open_book
    same = {"likelihood": tables.likelihood, "answers": tables.answers}
    if found is None or found.compared is None or same.get(found.method) is not closed:
        return []
    return [*_rows(found.compared)]


def _detail(models: list[ModelScore]) -> str:
    return n_detail(common(each.n for each in models))


def _whisker(model: ModelScore, series: Series) -> Whisker:
    found = estimate(model)
    assert found is not None, model
    return accuracy_whisker(model.name, series.get(model.name, 0), found)
