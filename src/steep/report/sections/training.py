"""Loss and learning rate of every arm, and what each arm read."""

from __future__ import annotations

from collections.abc import Sequence

from steep.core.formatting import UNKNOWN, count, duration
from steep.report.charts import Curve, Panel, curve_chart
from steep.report.components import Column, PageSection, absent, figure, section, table, text_column
from steep.report.html import Child, Html
from steep.report.sections.accuracies import key
from steep.report.view_models import Arm, ReportData

WATCHED = {  # what the sets of texts are called on the page
    "synthetic": "texts kept out",
    "documents": "the documents",
    "replay": "general text kept out",
}
MEANINGS = {  # of the loss on a set
    "synthetic": "A falling loss on written texts that were kept out of training is learning.",
    "documents": "Only arms that read the documents themselves are trained on them.",
    "replay": "A rising loss on general text is forgetting.",
}
MOST_POINTS = 400  # of a curve; longer ones are thinned


def training(run: ReportData) -> PageSection:
    """Loss and learning rate of every arm, and what each arm read."""
    title = "Training"
    if not run.arms:
        return section("training", title, None, absent("No model was trained in this run."))
    opening = (
        "Continued pretraining of the same base model, once for every arm. The loss is that of "
        "each arm on its own text: it shows whether training went well, not which arm knows more."
    )
    curves = [arm for arm in run.ordered_arms if arm.metrics]
    thinned = any(len(arm.metrics) > MOST_POINTS for arm in curves)
    caption = (
        "Loss by step (dots) and its running mean (lines), above the learning rate. Lines that lie "
        "on each other are the same schedule." + (" Long curves are thinned." if thinned else "")
    )
    chart = figure(_curve_chart(run, curves), caption) if curves else None
    return section("training", title, opening, chart, _arm_table(run), _validation_table(run))


def _curve_chart(run: ReportData, arms: Sequence[Arm]) -> Html:
    loss = [_curve(run, arm, "loss", smooth=True) for arm in arms]
    rate = [_curve(run, arm, "learning_rate", smooth=False) for arm in arms]
    panels = [
        Panel("loss, nats per token", 260, loss, lambda value: f"{value:g}"),
        Panel("learning rate", 110, rate, _rate, from_zero=True),
    ]
    title = "Training loss and learning rate by tokens trained, for each arm"
    return curve_chart(panels, "tokens trained", title)


def _rate(value: float) -> str:
    """A learning rate as people write it: 3e-4."""
    mantissa, exponent = f"{value:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}" if value else "0"


def _curve(run: ReportData, arm: Arm, field: str, *, smooth: bool) -> Curve:
    points = [(row["tokens"], row[field]) for row in arm.metrics]
    mean = thin(running_mean(points)) if smooth else None
    return Curve(arm.name, run.series[arm.name], thin(points), mean)


def running_mean(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The mean over a window of a tenth of the curve, centered, narrower towards both ends."""
    half = max(1, len(points) // 20)
    smooth = []
    for index, (x, _) in enumerate(points):
        reach = min(half, index, len(points) - 1 - index)
        window = [y for _, y in points[index - reach : index + reach + 1]]
        smooth.append((x, sum(window) / len(window)))
    return smooth


def thin(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Every k-th point and the last, so that a long run does not make a heavy page."""
    stride = -(-len(points) // MOST_POINTS)
    kept = list(points[::stride])
    return kept if kept[-1] == points[-1] else [*kept, points[-1]]


def _arm_table(run: ReportData) -> Html:
    columns = [
        text_column("arm"),
        Column("passages read"),
        Column("tokens in them"),
        Column("training tokens"),
        Column("of them replayed"),
        Column("passes"),
        Column("steps"),
        Column("final loss"),
        Column("wall time"),
        Column("tokens per second"),
    ]
    rows = [_arm_row(run, arm) for arm in run.ordered_arms]
    caption = (
        "Replayed tokens are general text against forgetting. The wall time is of all runs that "
        "trained the arm, with loading and measuring; tokens per second are those of its steps."
    )
    return table(columns, rows, caption)


def _arm_row(run: ReportData, arm: Arm) -> list[Child]:
    train, tokens = arm.train, arm.train.get("tokens")
    steps_s = (train.get("last") or {}).get("elapsed_s")  # of all steps, over all runs
    return [
        key(run, arm.name),
        _count_or_unknown(arm.tokenize.get("passages")),
        _count_or_unknown(arm.tokenize.get("tokens")),
        _count_or_unknown(tokens),
        _count_or_unknown(train.get("replayed_tokens")),
        _decimal(train.get("epochs"), 1),
        _count_or_unknown(train.get("steps")),
        _decimal(train.get("final_loss"), 3),
        duration(train.get("wall_s")),
        _decimal(tokens / steps_s if tokens and steps_s else None, 0),
    ]


def _validation_table(run: ReportData) -> Html | None:
    """What every arm learned and forgot: losses on the watched sets of texts."""
    watched = [arm for arm in run.ordered_arms if arm.validation]
    if not watched:
        return None
    sets = sorted({name for arm in watched for name in arm.validation[-1]} - {"step"})
    columns = [text_column("arm"), *(Column(f"{WATCHED.get(name, name)}") for name in sets)]
    rows: list[list[Child]] = [
        [key(run, arm.name), *(_before_and_after(arm, name) for name in sets)] for arm in watched
    ]
    meanings = [meaning for name, meaning in MEANINGS.items() if name in sets]
    caption = " ".join(["Loss in nats per token before and after training.", *meanings])
    return table(columns, rows, caption)


def _before_and_after(arm: Arm, name: str) -> str:
    losses = [row[name] for row in arm.validation if name in row]
    return f"{losses[0]:.3f} \u2192 {losses[-1]:.3f}" if losses else UNKNOWN


def _count_or_unknown(value: float | None) -> str:
    return UNKNOWN if value is None else count(value)


def _decimal(value: float | None, decimals: int) -> str:
    return UNKNOWN if value is None else f"{value:,.{decimals}f}"
