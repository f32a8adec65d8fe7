"""Training: the losses of every arm, its data, and whether the optimization was sound."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

from steep.core.formatting import UNKNOWN, count, decimal, duration
from steep.report.blocks import (
    Block,
    Cell,
    Column,
    Figure,
    Fold,
    Model,
    PageSection,
    Series,
    Table,
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
MOST_POINTS = 400  # of a curve of losses; longer ones are thinned
FEWER_POINTS = 120  # of other curves


def training(run: ReportData) -> PageSection | None:
    """Return the section; None if no model was trained."""
    title, arms = "Training", run.ordered_arms
    if not arms:
        return None
    opening = (
        "Continued pretraining of the same base model, once per arm. Each arm's loss is on its own "
        "text: it shows whether training succeeded, not which arm knows more."
    )
    if _followed(arms):
        opening += " The losses below it are on the same texts for all arms."
    return PageSection(
        "training",
        title,
        opening,
        [*_figures(arms), _validation_table(arms), _arm_table(arms)],
    )


def _figures(arms: Sequence[Arm]) -> Iterator[Block]:
    """Yield the losses, and folded what shows whether the optimization was sound."""
    curves = [arm for arm in arms if arm.metrics]
    if not curves:
        return
    thinned = any(len(arm.metrics) > MOST_POINTS for arm in curves)
    caption = (
        "Training loss (dots) with its running mean (lines)"
        + (", and below it the losses on watched texts" if _followed(curves) else "")
        + ("; long curves are thinned." if thinned else ".")
    )
    yield Figure(caption, lambda series: _loss_chart(series, curves))
    caption = (
        "Learning rate, norm of the gradient before clipping, and tokens per second of each step, "
        "by training tokens. Lines that coincide are the same schedule."
    )
    chart = Figure(caption, lambda series: _optimization_chart(series, curves))
    yield Fold("Learning rate, gradient norm and throughput", [chart])


def _loss_chart(series: Series, arms: Sequence[Arm]) -> Html:
    loss = [_curve(arm, series[arm.name], "loss", MOST_POINTS, smooth=True) for arm in arms]
    panels = [Panel("loss (nats per token)", 260, loss, lambda value: f"{value:g}", loss_text)]
    for name in _followed(arms):
        curves = [
            Curve(arm.name, series[arm.name], points)
            for arm in arms
            if (points := _held_out(arm, name))
        ]
        label = f"loss on {WATCHED.get(name, name)}"
        panels.append(Panel(label, 110, curves, lambda value: f"{value:g}", loss_text))
    return curve_chart(panels, "training tokens", "Losses by training tokens, for each arm")


def _optimization_chart(series: Series, arms: Sequence[Arm]) -> Html:
    def curves(field: str, *, smooth: bool) -> list[Curve]:
        return [_curve(arm, series[arm.name], field, FEWER_POINTS, smooth=smooth) for arm in arms]

    panels = [
        Panel(
            "learning rate", 110, curves("learning_rate", smooth=False), rate_text, rate_text, True
        ),
        Panel("gradient norm", 110, curves("grad_norm", smooth=True), _plain, _plain, True),
        Panel("tokens per second", 110, curves("tokens_per_s", smooth=True), count, count, True),
    ]
    title = "Learning rate, gradient norm and throughput by training tokens, for each arm"
    return curve_chart(panels, "training tokens", title)


def _watched(arms: Sequence[Arm]) -> list[str]:
    """Return the sets of held-out texts, those that all know first."""
    found = {name for arm in arms for row in arm.validation for name in row} - {"step"}
    return sorted(found, key=lambda name: ([*WATCHED, name].index(name), name))


def _followed(arms: Sequence[Arm]) -> list[str]:
    """Return the sets whose loss was measured during training, not only before and after it."""
    return [name for name in _watched(arms) if any(len(_held_out(arm, name)) > 2 for arm in arms)]


def _held_out(arm: Arm, name: str) -> list[tuple[float, float]]:
    """Return the losses on a set of texts by training tokens."""
    tokens = {row["step"]: row["tokens"] for row in arm.metrics} | {0: 0}
    rows = [row for row in arm.validation if name in row and row["step"] in tokens]
    return [(tokens[row["step"]], row[name]) for row in rows]


def _plain(value: float) -> str:
    return f"{value:.3g}"


def loss_text(value: float) -> str:
    """Return a loss."""
    return decimal(value, 3)


def rate_text(value: float) -> str:
    """Return a learning rate in scientific notation: 3e-4."""
    mantissa, exponent = f"{value:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}" if value else "0"


def _curve(arm: Arm, color: int, field: str, most: int, *, smooth: bool) -> Curve:
    points = [(row["tokens"], row[field]) for row in arm.metrics if row.get(field) is not None]
    means = thin(running_mean(points), most) if smooth else None
    return Curve(arm.name, color, thin(points, most), means)


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


def thin(
    points: Sequence[tuple[float, float]], most: int = MOST_POINTS
) -> list[tuple[float, float]]:
    """Return every k-th point and the last, so that a long run gives a small page."""
    stride = max(1, -(-len(points) // most))
    kept = list(points[::stride])
    return kept if kept[-1:] == list(points[-1:]) else [*kept, points[-1]]


def _arm_table(arms: Sequence[Arm]) -> Table:
    columns: tuple[Column[Arm], ...] = (
        ("arm", lambda arm: Model(arm.name)),
        ("passages", lambda arm: decimal(arm.passages, 0)),
        ("tokens in passages", lambda arm: decimal(arm.passage_tokens, 0)),
        ("training tokens", lambda arm: decimal(arm.tokens, 0)),
        ("replayed tokens", lambda arm: decimal(arm.replayed_tokens, 0)),
        ("epochs", lambda arm: decimal(arm.epochs, 1)),
        ("steps", lambda arm: decimal(arm.steps, 0)),
        ("final loss", lambda arm: decimal(arm.final_loss, 3)),
        ("wall time", lambda arm: duration(arm.wall_s)),
        ("tokens per second", lambda arm: decimal(_throughput(arm), 0)),
    )
    caption = (
        "Training tokens include replayed general text. The wall time covers all runs that trained "
        "the arm, with loading and evaluation; tokens per second are those of the training steps."
    )
    mixes = [f" {arm.name} reads {'; '.join(map(str, arm.mix))}." for arm in arms if arm.mix]
    return table(arms, columns, caption + "".join(mixes))


def _throughput(arm: Arm) -> float | None:
    return arm.tokens / arm.step_s if arm.tokens and arm.step_s else None


def _validation_table(arms: Sequence[Arm]) -> Table | None:
    """Return the losses on the watched sets of texts before and after training."""
    watched = [arm for arm in arms if arm.validation]
    if not (sets := _watched(watched)):
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
