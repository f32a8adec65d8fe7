"""Charts that fit any width: text in a CSS grid, marks in SVG with horizontal percentages.

A mark carries the class `s<number>` of its model; `style.css` alone knows the palette. Every model
also has its own marker and dash pattern, so that no figure is read by color only. Each chart is
drawn once: only widths depend on the screen, so text keeps its size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from steep.core.formatting import count, percent
from steep.report.html import Child, Html, el, number
from steep.report.results import IntervalEstimate

SERIES_COLORS = 8  # as many as style.css defines
DASHES = ("9 3 2 3", None, "7 4", "2 3")
MIDDLE = 12.5  # of a row of a whisker chart, in pixels


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear map of data to a percentage of the width, or to `size` units."""

    low: float
    high: float
    size: float = 100

    def units(self, value: float) -> float:
        """Return the position of a value in units."""
        return (value - self.low) / (self.high - self.low) * self.size

    def __call__(self, value: float) -> str:
        """Return the position of a value as a percentage."""
        return f"{number(100 / self.size * self.units(value))}%"


@dataclass(frozen=True, slots=True)
class Whisker:
    """One dot with its interval; `note` is printed beside it."""

    label: str
    series: int
    found: IntervalEstimate
    note: str


@dataclass(frozen=True, slots=True)
class WhiskerGroup:
    """Whiskers under one heading; `reference` is a value to compare these alone against."""

    label: str
    detail: str
    rows: Sequence[Whisker]
    reference: float | None = None


@dataclass(frozen=True, slots=True)
class Axis:
    """The value axis of a whisker chart, with one line to compare against."""

    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    reference: float | None
    reference_label: str


@dataclass(frozen=True, slots=True)
class Curve:
    """One line: its points, and the same smoothed (drawn strongly) if it is noisy."""

    label: str
    series: int
    points: Sequence[tuple[float, float]]
    smooth: Sequence[tuple[float, float]] | None = None


@dataclass(frozen=True, slots=True)
class Panel:
    """Curves over one vertical axis; `value_text` formats the value of a point."""

    label: str
    height: int
    curves: Sequence[Curve]
    tick_text: Callable[[float], str]
    value_text: Callable[[float], str]
    from_zero: bool = False


def chart(title: str, class_: str, *children: Child, legend: Sequence[Html] = ()) -> Html:
    """Return a chart that is announced as one image under its title.

    Marks with the attributes of `tip` show their values under the pointer or the keyboard; the keys
    of a legend hide and show the marks that have the same series or layer (`scripts/charts.js`).

    Args:
        title: What the chart shows, for readers who do not see it.
        class_: How the style sheet arranges the children.
        *children: The drawing.
        legend: A `key` for each series or layer that the reader may hide.
    """
    drawn = el("div", *children, role="img", aria_label=title, class_=f"chart {class_}")
    return el("div", el("p", *legend, class_="legend"), drawn, class_="keyed") if legend else drawn


def key(sample: Html, name: str, layer: str | None = None) -> Html:
    """Return the entry of a series in a legend, or that of a layer of all series."""
    series = name if layer is None else None
    return el("span", sample, name, class_="key", data_series=series, data_layer=layer)


def tip(name: str, *values: str) -> str:
    """Return the text that a mark shows under the pointer: its name, then a line for each value."""
    return "\n".join([name, *values])


def svg(*children: Child, class_: str, **attributes: str | float) -> Html:
    """Return a drawing that is a part of a chart or a table cell."""
    return el("svg", *children, aria_hidden="true", class_=class_, **attributes)


def text(x: str | float, y: str | float, content: str, class_: str, **attributes: str) -> Html:
    """Return a line of text; `y` is its baseline."""
    return el("text", content, x=x, y=y, class_=class_, **attributes)


def line(x1: str | float, y1: str | float, x2: str | float, y2: str | float, class_: str) -> Html:
    """Return a straight line."""
    return el("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def series_class(series: int) -> str:
    """Return the class that gives a mark its color."""
    return f"s{series % SERIES_COLORS}"


def marker(series: int, x: str, y: str | float, size: float = 5.5) -> Html:
    """Return a circle, square, diamond or triangle, by the number of the series."""
    kind = f"mark {series_class(series)}"
    if series % 4 == 0:
        return el("circle", cx=x, cy=y, r=size, class_=kind)
    corners = {
        1: [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
        2: [(0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)],
        3: [(0, -1.2), (1.15, 0.9), (-1.15, 0.9)],
    }[series % 4]
    points = " ".join(f"{number(size * dx)},{number(size * dy)}" for dx, dy in corners)
    return el("svg", el("polygon", points=points, class_=kind), x=x, y=y)


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Return round numbers that cover a range."""
    rough = (high - low) / wanted or 1.0
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


# ---- dots and whiskers ---------------------------------------------------------------------------


def whisker_chart(groups: Sequence[WhiskerGroup], axis: Axis, title: str) -> Html:
    """Return groups of dots with intervals over one axis, with the values printed beside them."""
    scale = Scale(axis.low, axis.high)
    common = all(group.reference is None for group in groups)
    return chart(title, "whiskers", _value_axis(axis, scale, common), *_whisker_rows(groups, scale))


def _whisker_rows(groups: Sequence[WhiskerGroup], scale: Scale) -> Iterator[Html]:
    """Yield the cells of the grid; a row that is left out separates two groups."""
    row = 1
    for group in groups:
        detail = el("span", group.detail, class_="detail")
        place = f"--row:{row} / span {len(group.rows)}"
        yield el("div", group.label, detail, class_="group", style=place)
        for each in group.rows:
            place = f"--row:{row}"
            yield el("div", each.label, class_="label", style=place)
            yield el("div", each.note, class_="value", style=place)
            yield svg(*_whisker(each, group, scale), class_="plot", style=place)
            row += 1
        row += 1


def _whisker(row: Whisker, group: WhiskerGroup, scale: Scale) -> Iterator[Html]:
    if group.reference is not None:
        x = scale(group.reference)
        yield line(x, -2, x, 27, "reference")
    found = row.found
    parts: list[Html] = []
    if found.low is not None and found.high is not None:
        low, high = scale(found.low), scale(found.high)
        kind = f"whisker {series_class(row.series)}"
        parts.append(line(low, MIDDLE, high, MIDDLE, kind))
        parts += [line(end, MIDDLE - 4, end, MIDDLE + 4, kind) for end in (low, high)]
    dot = marker(row.series, scale(found.value), MIDDLE)
    values = tip(row.label, group.label, row.note, *[f"n = {count(found.n)}"] * bool(found.n))
    yield el("g", *parts, dot, data_tip=values)


def _value_axis(axis: Axis, scale: Scale, common: bool) -> Html:
    """Return ticks, and the line to compare all groups against unless each has its own."""
    parts: list[Html] = []
    for value, label in axis.ticks:
        parts.append(line(scale(value), 0, scale(value), "100%", "grid"))
        parts.append(text(scale(value), "100%", label, "tick", dy="16", text_anchor="middle"))
    if axis.reference is not None:
        x = scale(axis.reference)
        if common:
            parts.append(line(x, -4, x, "100%", "reference"))
        parts.append(text(x, -9, axis.reference_label, "tick strong", text_anchor="middle"))
    return svg(*parts, class_="lines")


# ---- bars ----------------------------------------------------------------------------------------


def stacked_bar(parts: Sequence[tuple[str, int, str]], title: str) -> Html:
    """Return one bar of (name, size, class) parts."""
    total = sum(size for _, size, _ in parts) or 1
    shapes, x = [], 0.0
    for name, size, kind in parts:
        width = 100 * size / total
        place = {"x": f"{x:.3f}%", "width": f"{width:.3f}%"}
        values = tip(name, f"{count(size)} of {count(total)} ({percent(size / total)})")
        shapes.append(el("rect", **place, height=22, class_=f"fill {kind}", data_tip=values))
        x += width
    return chart(title, "stack", svg(*shapes, class_="whole"))


def bar_cell(share: float) -> Html:
    """Return a small bar for a table cell; the number stands beside it."""
    bar = el("rect", width=f"{number(max(0.6, 100 * share))}%", height=10, class_="fill s1")
    return svg(bar, class_="bar")


# ---- curves --------------------------------------------------------------------------------------


def curve_chart(panels: Sequence[Panel], x_label: str, title: str) -> Html:
    """Return panels above each other over one horizontal axis, with a legend on top."""
    last = max(x for panel in panels for curve in panel.curves for x, _ in curve.points)
    scale = Scale(0, last, 1000)
    drawn: list[Html] = []
    for panel in panels:
        drawn += [el("p", panel.label, class_="group"), _panel(panel, scale, x_label)]
    keys = [key(_dash(curve), curve.label) for curve in panels[0].curves]
    return chart(title, "curves", *drawn, _horizontal_axis(scale, x_label), legend=keys)


def _horizontal_axis(scale: Scale, label: str) -> Html:
    marks = [
        text(scale(value), 8, f"{value:,.0f}", "tick", text_anchor="middle")
        for value in ticks(0, scale.high, 5)
    ]
    name = text("100%", 28, label, "tick", text_anchor="end")
    return svg(*marks, name, class_="panel", style="height:34px")


def _panel(panel: Panel, across: Scale, x_label: str) -> Html:
    ys = [y for curve in panel.curves for _, y in curve.points]
    low, high = (0.0 if panel.from_zero else min(ys)), max(ys)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    up = Scale(high + margin, low if panel.from_zero else low - margin, 1000)  # y grows downwards
    parts = [line(0, "100%", "100%", "100%", "axis")]
    for value in ticks(up.high, up.low, 5 if panel.height > 150 else 4):
        parts.append(line(0, up(value), "100%", up(value), "grid"))
        label = panel.tick_text(value)
        parts.append(text(-8, up(value), label, "tick", dy="4", text_anchor="end"))
    curves = [
        _curve(curve, across, up, _point_texts(panel, curve, x_label)) for curve in panel.curves
    ]
    stretched = el(
        "svg", *curves, viewBox="0 0 1000 1000", preserveAspectRatio="none", class_="whole"
    )
    return svg(*parts, stretched, class_="panel", style=f"height:{panel.height}px")


def _point_texts(panel: Panel, curve: Curve, x_label: str) -> list[str]:
    """Return a line of text for each point of the line that is drawn."""
    quantity = panel.label.partition(" (")[0]
    texts = [
        f"{count(x)} {x_label}: {quantity} {panel.value_text(y)}"
        for x, y in curve.smooth or curve.points
    ]
    if not curve.smooth:
        return texts
    single = {x: panel.value_text(y) for x, y in curve.points}
    return [
        f"{text} (running mean; this step {single[x]})" if x in single else text
        for text, (x, _) in zip(texts, curve.smooth, strict=True)
    ]


def _curve(curve: Curve, across: Scale, up: Scale, texts: Sequence[str]) -> Html:
    color = series_class(curve.series)
    strong, noisy = [
        [f"{number(across.units(x))} {number(up.units(y))}" for x, y in points]
        for points in (curve.smooth or curve.points, curve.points if curve.smooth else ())
    ]
    # A path of no length with round ends is a dot that does not stretch.
    dots = el("path", d="".join(f"M{place}h0" for place in noisy), class_=f"dots {color}")
    values = {"data_tip": tip(curve.label), "data_tips": "\n".join(texts)}
    path = el("polyline", points=" ".join(strong), **values, **_stroke(curve))
    return el("g", dots if noisy else None, path, data_series=curve.label)


def _dash(curve: Curve) -> Html:
    return svg(el("line", x2=34, y1=6, y2=6, **_stroke(curve)), class_="dash")


def _stroke(curve: Curve) -> dict[str, str | None]:
    dashes = DASHES[curve.series % len(DASHES)]
    return {"class_": f"curve {series_class(curve.series)}", "stroke_dasharray": dashes}
