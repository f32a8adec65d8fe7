"""The chart of a scaling study: accuracy over tokens on a logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from steep.core.formatting import count, interval, percent
from steep.evaluation.config import BASE
from steep.report.charts import (
    DASHES,
    Scale,
    chart,
    key,
    line,
    marker,
    series_class,
    svg,
    text,
    ticks,
    tip,
)
from steep.report.html import Html, el, number
from steep.scaling.results import (
    RETRIEVAL,
    ArmCurve,
    BandPoint,
    Bounded,
    MetricStudy,
    TheoryFit,
)

HEIGHT = 320  # pixels
MARGIN = 0.06  # of the range, on both sides
DOT = 2.2  # radius of a single model, in pixels
ROUND = (1, 2, 5)  # ticks are these times a power of ten
MOST_TICKS = 7
BANDS = "band"  # the layer of the intervals of fits
THEORY = "theory"  # the layer of the curves of the paper's theory
THEORY_DASH = "1 5"


def scaling_chart(found: MetricStudy, series: Mapping[str, int]) -> Html:
    """Return the points, fits, bands and theory of each arm; base and retrieval are lines."""
    across, up = _scales(found)
    parts: list[Html] = [line(0, "100%", "100%", "100%", "axis")]
    for value in ticks(up.high, up.low):
        parts.append(line(0, up(value), "100%", up(value), "grid"))
        parts.append(text(-8, up(value), percent(value, 0), "tick", dy="4", text_anchor="end"))
    for label, value in _references(found):
        parts.append(line(0, up(value), "100%", up(value), "reference"))
        parts.append(text("100%", up(value), label, "tick strong", dy="-4", text_anchor="end"))
    numbers = {
        curve.arm: series.get(curve.arm, place) for place, curve in enumerate(found.curves, start=1)
    }
    lines = [
        each for curve in found.curves for each in _fitted(curve, numbers[curve.arm], across, up)
    ]
    theories = [(curve.arm, curve.theory) for curve in found.curves if curve.theory]
    lines += [_theory(arm, fit, numbers[arm], across, up) for arm, fit in theories]
    stretched = el(
        "svg", *lines, viewBox="0 0 1000 1000", preserveAspectRatio="none", class_="whole"
    )
    marks = [
        each for curve in found.curves for each in _marks(curve, numbers[curve.arm], across, up)
    ]
    keys = [
        key(svg(marker(numbers[curve.arm], "17", 6), class_="dash"), curve.arm)
        for curve in found.curves
    ]
    if any(curve.fit.band for curve in found.curves):
        keys.append(key(_band_sample(), "intervals of the fits", BANDS))
    if theories:
        sample = el("line", x2=34, y1=6, y2=6, **_theory_stroke(numbers[theories[0][0]]))
        keys.append(key(svg(sample, class_="dash"), "theory", THEORY))
    return chart(
        f"{found.metric} by tokens of text, for each arm",
        "curves",
        svg(*parts, stretched, *marks, class_="panel", style=f"height:{HEIGHT}px"),
        _axis(across),
        legend=keys,
    )


def _scales(found: MetricStudy) -> tuple[Scale, Scale]:
    """Return the scale of log10 of tokens, and that of accuracy, which grows upwards."""
    sizes = [math.log10(size.tokens) for curve in found.curves for size in curve.sizes]
    room = MARGIN * (max(sizes) - min(sizes)) or 0.5
    values = [value for _, value in _references(found)]
    for curve in found.curves:
        for size in curve.sizes:
            values += [size.accuracy.low, size.accuracy.high, *size.by_seed.values()]
        values += [end for point in curve.fit.band for end in (point.new_low, point.new_high)]
        values += [value for _, value in curve.theory.curve] if curve.theory else []
    margin = MARGIN * (max(values) - min(values)) or 0.05
    return (
        Scale(min(sizes) - room, max(sizes) + room, 1000),
        Scale(max(values) + margin, min(values) - margin, 1000),
    )


def _references(found: MetricStudy) -> Iterator[tuple[str, float]]:
    yield BASE, found.base.value
    if found.retrieval:
        yield RETRIEVAL, found.retrieval.value


def _fitted(curve: ArmCurve, number_: int, across: Scale, up: Scale) -> Iterator[Html]:
    """Yield the bands of new models and of the mean, and the line of a fit."""
    if not curve.fit.band:
        return
    xs = [across.units(math.log10(point.tokens)) for point in curve.fit.band]
    band, color = curve.fit.band, series_class(number_)
    for kind, lows, highs in (
        ("wide", [point.new_low for point in band], [point.new_high for point in band]),
        ("", [point.low for point in band], [point.high for point in band]),
    ):
        above = [*zip(xs, map(up.units, highs), strict=True)]
        below = [*zip(xs, map(up.units, lows), strict=True)]
        yield el(
            "polygon",
            points=_path([*above, *reversed(below)]),
            class_=f"band {kind} {color}",
            data_series=curve.arm,
            data_layer=BANDS,
        )
    middle = [up.units(point.value) for point in band]
    yield el(
        "polyline",
        points=_path([*zip(xs, middle, strict=True)]),
        class_=f"curve {color}",
        stroke_dasharray=DASHES[number_ % len(DASHES)],
        data_series=curve.arm,
        data_tip=tip(f"{curve.arm}, fit ({' or '.join(curve.fit.best)})"),
        data_tips="\n".join(map(_fit_text, band)),
    )


def _theory(arm: str, fit: TheoryFit, number_: int, across: Scale, up: Scale) -> Html:
    """Return the curve of the theory."""
    places = [(across.units(math.log10(x)), up.units(y)) for x, y in fit.curve]
    texts = [f"{count(x)} tokens: {percent(y)}" for x, y in fit.curve]
    return el(
        "polyline",
        points=_path(places),
        data_series=arm,
        data_layer=THEORY,
        data_tip=tip(f"{arm}, theory (lambda {fit.degree:g})"),
        data_tips="\n".join(texts),
        **_theory_stroke(number_),
    )


def _theory_stroke(number_: int) -> dict[str, str]:
    return {"class_": f"curve theory {series_class(number_)}", "stroke_dasharray": THEORY_DASH}


def _fit_text(point: BandPoint) -> str:
    spread = interval(point.low, point.high)
    return f"{count(point.tokens)} tokens: {percent(point.value)} {spread}"


def _band_sample() -> Html:
    return svg(el("rect", width=34, height=12, class_="sample"), class_="dash")


def _path(points: list[tuple[float, float]]) -> str:
    return " ".join(f"{number(x)} {number(y)}" for x, y in points)


def _marks(curve: ArmCurve, number_: int, across: Scale, up: Scale) -> Iterator[Html]:
    """Yield every model as a dot, and every size as a mark with its interval."""
    color = series_class(number_)
    for size in curve.sizes:
        x = across(math.log10(size.tokens))
        for value in size.by_seed.values():
            dot = {"cx": x, "cy": up(value), "class_": f"model {color}"}
            yield el("circle", **dot, r=DOT, data_series=curve.arm)
        found: Bounded = size.accuracy
        whisker = line(x, up(found.low), x, up(found.high), f"whisker thin {color}")
        values = tip(
            curve.arm,
            f"{count(size.tokens)} tokens of text",
            f"{percent(found.value)} {interval(found.low, found.high)}",
            f"each model: {', '.join(map(percent, size.by_seed.values()))}",
        )
        mark = el("g", marker(number_, x, up(found.value)), data_tip=values)
        yield el("g", whisker, mark, data_series=curve.arm)


def _axis(across: Scale) -> Html:
    low, high = 10**across.low, 10**across.high
    exponents = range(math.floor(across.low), math.ceil(across.high) + 1)
    marks = [each * 10.0**power for power in exponents for each in ROUND]
    shown = [each for each in marks if low <= each <= high]
    if len(shown) > MOST_TICKS:
        shown = [each for each in shown if math.log10(each).is_integer()]
    texts = [
        text(across(math.log10(each)), 8, count(each), "tick", text_anchor="middle")
        for each in shown
    ]
    name = text("100%", 28, "tokens of text", "tick", text_anchor="end")
    return svg(*texts, name, class_="panel", style="height:34px")
