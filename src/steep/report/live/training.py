"""The panel of training: loss and learning rate of the current arm and of those before it."""

from __future__ import annotations

from collections.abc import Sequence

from steep.core.formatting import UNKNOWN, count, decimal, duration
from steep.report.blocks import Block, Figure, Model, PageSection, Series, Table, table
from steep.report.charts import Curve, Panel, curve_chart
from steep.report.drawing import draw_section
from steep.report.html import Html
from steep.report.live.run import LiveRun, LiveTraining
from steep.report.sections.training import loss_text, rate_text, running_mean, thin

CAPTION = (
    "Training loss (dots) with its running mean (lines), and learning rate, while training goes on."
)


def training(run: LiveRun) -> Html | None:
    """Return the panel; None before the first step."""
    found = run.trainings
    if not found:
        return None
    series = {each.name: index + 1 for index, each in enumerate(found)}
    blocks: list[Block] = [_table(found), _validation(found)]
    if any(len(each.points) > 1 for each in found):
        blocks.insert(0, Figure(CAPTION, lambda colors: _chart(colors, found)))
    return draw_section(PageSection("training", "Training", None, blocks), series)


def _chart(series: Series, found: Sequence[LiveTraining]) -> Html:
    loss, rate = [], []
    for each in found:
        color = series[each.name]
        losses = thin([(p.tokens, p.loss) for p in each.points if p.loss is not None])
        if losses:
            loss.append(Curve(each.name, color, losses, running_mean(losses)))
            points = thin([(p.tokens, p.learning_rate) for p in each.points])
            rate.append(Curve(each.name, color, points))
    panels = [
        Panel("loss (nats per token)", 240, loss, lambda value: f"{value:g}", loss_text),
        Panel("learning rate", 90, rate, rate_text, rate_text, from_zero=True),
    ]
    title = "Training loss and learning rate by training tokens, for each arm"
    return curve_chart(panels, "training tokens", title)


def _table(found: Sequence[LiveTraining]) -> Table:
    return table(
        found,
        (
            ("arm", lambda each: Model(each.name)),
            ("step", _step),
            ("loss", lambda each: decimal(each.points[-1].loss, 3)),
            ("learning rate", lambda each: f"{each.points[-1].learning_rate:.2e}"),
            ("tokens per second", lambda each: decimal(each.tokens_per_s, 0)),
            ("time left", _left),
        ),
    )


def _step(each: LiveTraining) -> str:
    step = count(each.points[-1].step)
    return step if each.steps is None else f"{step} of {count(each.steps)}"


def _left(each: LiveTraining) -> str:
    if each.finished:
        return "done"
    return UNKNOWN if each.seconds_left is None else duration(each.seconds_left)


def _validation(found: Sequence[LiveTraining]) -> Table | None:
    rows = [
        (Model(each.name), count(row["step"]), name, f"{value:.3f}")
        for each in found
        for row in each.validation[-1:]
        for name, value in row.items()
        if name != "step"
    ]
    if not rows:
        return None
    caption = "The latest validation losses, in nats per token."
    return Table(("arm", "step", "text", "loss"), rows, caption, texts=(0, 2))
