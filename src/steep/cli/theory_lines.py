"""The tables and figures of `steep theory`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from steep.core.formatting import count, listing, percent, points
from steep.core.tables import table, wrap_text
from steep.scaling.figure import Series, draw
from steep.scaling.results import TheoryFit
from steep.scaling.theory_points import MeasuredCurve
from steep.scaling.theory_result import TheoryPoint, TheoryResult

COLORS = ("#0f766e", "#b45309", "#7c3aed", "#be123c", "#1d4ed8", "#4d7c0f")


def world_lines(result: TheoryResult) -> list[str]:
    """Return the table of a world, its regimes and what the numbers mean."""
    sampled = result.sources < result.entities
    heads = ["steps", "expected", *(["sampling error"] if sampled else [])]
    simulated = result.points[0].simulated is not None
    heads += ["simulated (error)"] if simulated else []
    bounded = result.points[0].branching is not None
    heads += ["Theorem 1 bounds", "Galton-Watson", "off by"] if bounded else []
    rows = [_row(point, sampled) for point in result.points]
    pairs = result.entities * (result.entities - 1)
    about = (
        f"{result.entities:,} entities with {result.links:,} links (lambda {result.degree:g}), "
        f"{pairs:,} ordered pairs; {percent(result.reachable)} of them have a path."
    )
    counted = f" Estimated from {result.sources:,} sources." if sampled else ""
    return [
        wrap_text(f"Link density: share of all pairs that are known. {about}{counted}", hang=0),
        "",
        *table([heads, *rows]),
        "",
        *table([["regime", "steps", "density grows"], *_regimes(result)], texts=range(3)),
        *([] if bounded else ["", "Theorem 1 and Galton-Watson need lambda > 1."]),
    ]


def _row(point: TheoryPoint, sampled: bool) -> list[str]:
    row = [count(point.steps), percent(point.expected)]
    if sampled:
        row.append(points(point.error, 2, sign=False))
    if point.simulated is not None and point.simulated_error is not None:
        error = points(point.simulated_error, 2, sign=False)
        row.append(f"{percent(point.simulated)} ({error})")
    if point.branching is not None and point.low is not None and point.high is not None:
        row.append(f"{percent(point.low)} to {percent(min(1.0, point.high))}")
        row.append(percent(point.branching))
        off = 100 * (point.branching / point.expected - 1) if point.expected else 0.0
        row.append(f"{off:+.0f}%")
    return row


def _regimes(result: TheoryResult) -> list[list[str]]:
    low, high = result.linear_until, result.plateau_from
    return [
        ["linear", f"to {count(low)}", "in proportion to steps, within 10%"],
        ["mixture", f"{count(low)} to {count(high)}", "slower and slower, about like their log"],
        ["plateau", f"from {count(high)}", "by less than 5% of all that was added"],
    ]


def world_figure(result: TheoryResult) -> str:
    """Return the figure of a world."""
    drawn = [each for each in result.points if each.steps > 0]
    columns = {
        "expected": [(each.steps, each.expected) for each in drawn],
        "low": [(each.steps, each.low) for each in drawn if each.low is not None],
        "high": [(each.steps, each.high) for each in drawn if each.high is not None],
        "branching": [(each.steps, each.branching) for each in drawn if each.branching is not None],
        "simulated": [(each.steps, each.simulated) for each in drawn if each.simulated is not None],
    }
    every = [
        Series("exact expectation", COLORS[0], columns["expected"]),
        Series("simulated mean", COLORS[0], columns["simulated"], marks=True),
        Series("Galton-Watson", COLORS[1], columns["branching"], dash="7 4"),
        Series("lower bound", "#a8a29e", columns["low"], dash="2 3"),
        Series("upper bound", "#78716c", columns["high"], dash="2 3"),
    ]
    title = f"Link density over steps: {result.entities} entities, lambda {result.degree:g}"
    return draw(title, "steps", [each for each in every if each.points])


def fit_lines(
    fits: Sequence[tuple[MeasuredCurve, TheoryFit]], refused: Mapping[str, str]
) -> list[str]:
    """Return the table of fits, and the curves that were refused."""
    heads = ["curve", "start", "rise", "tokens per step and pair", "lambda", "residual"]
    rows = [
        [
            curve.name,
            percent(fit.start),
            points(fit.rise),
            count(fit.tokens_per_pair),
            f"{fit.degree:g}",
            points(fit.residual, 2, sign=False),
        ]
        for curve, fit in fits
    ]
    return [*table([heads, *rows]), "", *_remarks(fits, refused)]


def _remarks(
    fits: Sequence[tuple[MeasuredCurve, TheoryFit]], refused: Mapping[str, str]
) -> Iterator[str]:
    for curve, fit in fits:
        largest, end = max(curve.tokens), fit.start + fit.rise
        also = listing([f"{degree:g}" for degree in fit.degrees])
        yield wrap_text(f"{curve.name}: not excluded at 95%: lambda {also}.")
        if not fit.reaches_plateau:
            yield wrap_text(
                f"{curve.name}: the plateau ({percent(end)}) is beyond the largest size "
                f"({count(largest)} tokens), so the points do not determine it."
            )
    for name, reason in refused.items():
        yield wrap_text(f"{name}: not fitted. {reason}")


def fit_figure(fits: Sequence[tuple[MeasuredCurve, TheoryFit]]) -> str:
    """Return the points and the fitted curves."""
    every = []
    for number, (curve, fit) in enumerate(fits):
        color = COLORS[number % len(COLORS)]
        pairs = list(zip(curve.tokens, curve.accuracies, strict=True))
        every.append(Series(curve.name, color, pairs, marks=True))
        every.append(Series(f"theory, lambda {fit.degree:g}", color, fit.curve))
    return draw("Accuracy over synthetic tokens, with the theory", "synthetic tokens", every)
