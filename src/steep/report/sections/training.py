"""Training: loss and learning rate of every arm, its data, and losses on held-out text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from steep.core.formatting import UNKNOWN, decimal, duration
from steep.report.blocks import (
    Cell,
    Column,
    Figure,
    Model,
    PageSection,
    Series,
    Table,
    absent,
    table,
)
from steep.report.charts import Curve, Panel, curve_chart
from steep.report.html import Html
from steep.report.run_data import Arm, ReportData

WATCHED = {  # sets of texts
    "synthetic": "held-out synthetic text",
    "documents": "documents",
    "replay": "held-out general text",
}
MEANINGS = {  # of the loss on a set
    "synthetic": "A decreasing loss on held-out synthetic text indicates learning.",
    "documents": "Only arms that read the documents themselves are trained on them.",
    "replay": "An increasing loss on general text indicates forgetting.",
}
MOST_POINTS = 400  # of a curve; longer ones are thinned


def training(run: ReportData) -> PageSection:
    """Return the section."""
    title, arms = "Training", run.ordered_arms
    if not arms:
        return PageSection("training", title, None, [absent("No model was trained in this run.")])
    opening = (
        "Continued pretraining of the same base model, once per arm. Each arm's loss is on its own "
        "text: it shows whether training succeeded, not which arm knows more."
    )
    curves = [arm for arm in arms if arm.metrics]
    thinned = any(len(arm.metrics) > MOST_POINTS for arm in curves)
    caption = (
        "Training loss (dots) with its running mean (lines), and learning rate. Lines that "
        "coincide are the same schedule." + (" Long curves are thinned." if thinned else "")
    )
    chart = Figure(caption, lambda series: _chart(series, curves)) if curves else None
    return PageSection(
        "training", title, opening, [chart, _arm_table(arms), _validation_table(arms)]
    )


def _chart(series: Series, arms: Sequence[Arm]) -> Html:
    loss = [_curve(arm, series[arm.name], "loss", smooth=True) for arm in arms]
    rate = [_curve(arm, series[arm.name], "learning_rate", smooth=False) for arm in arms]
    panels = [
        Panel("loss (nats per token)", 260, loss, lambda value: f"{value:g}", loss_text),
        Panel("learning rate", 110, rate, rate_text, rate_text, from_zero=True),
    ]
    title = "Training loss and learning rate by training tokens, for each arm"
    return curve_chart(panels, "training tokens", title)


def loss_text(value: float) -> str:
    """Return a loss in nats per token."""
    return decimal(value, 3)


def rate_text(value: float) -> str:
    """Return a learning rate in scientific notation: 3e-4."""
    mantissa, exponent = f"{value:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}" if value else "0"


def _curve(arm: Arm, color: int, field: str, *, smooth: bool) -> Curve:
    points = [(row["tokens"], row[field]) for row in arm.metrics if row[field] is not None]
    return Curve(arm.name, color, thin(points), thin(running_mean(points)) if smooth else None)


def running_mean(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the mean over a centered tenth of the curve; the window narrows at both ends."""
    half = max(1, len(points) // 20)
    sums = [0.0, *accumulate(y for _, y in points)]
    smooth = []
    for index, (x, _) in enumerate(points):
        reach = min(half, index, len(points) - 1 - index)
        window = sums[index + reach + 1] - sums[index - reach]
        smooth.append((x, window / (2 * reach + 1)))
    return smooth


def thin(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return every k-th point and the last, so that a long run gives a small page."""
    stride = -(-len(points) // MOST_POINTS)
    kept = list(points[::stride])
    return kept if kept[-1] == points[-1] else [*kept, points[-1]]


def _arm_table(arms: Sequence[Arm]) -> Table:
    columns: tuple[Column[Arm], ...] = (
        ("arm", lambda arm: Model(arm.name)),
        ("passages", lambda arm: _number(arm.passages)),
        ("tokens in passages", lambda arm: _number(arm.passage_tokens)),
        ("training tokens", lambda arm: _number(arm.tokens)),
        ("replayed tokens", lambda arm: _number(arm.replayed_tokens)),
        ("epochs", lambda arm: _number(arm.epochs, 1)),
        ("steps", lambda arm: _number(arm.steps)),
        ("final loss", lambda arm: _number(arm.final_loss, 3)),
        ("wall time", lambda arm: duration(arm.wall_s)),
        ("tokens per second", lambda arm: _number(_throughput(arm))),
    )
    caption = (
        "Training tokens include replayed general text. The wall time covers all runs that trained "
        "the arm, with loading and evaluation; tokens per second are those of the training steps."
    )
    mixes = [f" {arm.name} reads {'; '.join(map(str, arm.mix))}." for arm in arms if arm.mix]
    return table(arms, columns, caption + "".join(mixes))


def _number(value: float | None, decimals: int = 0) -> str:
    return UNKNOWN if value is None else decimal(value, decimals)


def _throughput(arm: Arm) -> float | None:
    return arm.tokens / arm.step_s if arm.tokens and arm.step_s else None


def _validation_table(arms: Sequence[Arm]) -> Table | None:
    """Return the losses on the watched sets of texts before and after training."""
    watched = [arm for arm in arms if arm.validation]
    sets = sorted({name for arm in watched for name in arm.validation[-1]} - {"step"})
    if not sets:
        return None
    rows: list[tuple[Cell, ...]] = [
        (Model(arm.name), *(_before_and_after(arm, each) for each in sets)) for arm in watched
    ]
    meanings = [meaning for name, meaning in MEANINGS.items() if name in sets]
    caption = " ".join(["Loss in nats per token before \u2192 after training.", *meanings])
    return Table(["arm", *(WATCHED.get(name, name) for name in sets)], rows, caption)


def _before_and_after(arm: Arm, name: str) -> str:
    losses = [row[name] for row in arm.validation if name in row]
    return f"{losses[0]:.3f} \u2192 {losses[-1]:.3f}" if losses else UNKNOWN
