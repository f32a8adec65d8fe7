"""Charts as inline SVG: our own few shapes, no plotting library, no fixed colors.

A mark carries the class `s<number>` of its model; `style.css` alone knows the palette. Every model
also has its own marker and dash pattern, so that no figure is read by color only. Each chart is
drawn twice, for a page and for a phone, and the style sheet shows one of them: text keeps its size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from steep.core.formatting import shorten
from steep.report.html import Html, el, join, number

WIDE, NARROW = 960, 350
SERIES_COLORS = 8  # as many as style.css defines
DASHES = ("9 3 2 3", None, "7 4", "2 3")
LETTER = 0.56  # mean width of a letter, in parts of the font size


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear map of data to pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


@dataclass(frozen=True, slots=True)
class Whisker:
    """One dot with its interval."""

    label: str
    series: int
    value: float
    low: float | None
    high: float | None
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
    """Curves over one vertical axis."""

    label: str
    height: float
    curves: Sequence[Curve]
    tick_text: Callable[[float], str]
    from_zero: bool = False


def responsive(draw: Callable[[int], Html]) -> Html:
    """Draw for a page and for a phone; the style sheet shows the one that fits."""
    return join(
        [
            el("div", draw(WIDE), class_="wide"),
            el("div", draw(NARROW), class_="narrow"),
        ]
    )


def frame(width: float, height: float, title: str, *children: Html | None, class_: str) -> Html:
    """An SVG that is announced as one image under its title."""
    box = f"0 0 {number(width)} {number(height)}"
    return el(
        "svg",
        el("title", title),
        *children,
        viewBox=box,
        role="img",
        aria_label=title,
        class_=class_,
    )


def text(x: float, y: float, content: str, class_: str, anchor: str = "start") -> Html:
    """A line of text; `y` is its baseline."""
    return el("text", content, x=x, y=y, class_=class_, text_anchor=anchor)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Html:
    """A straight line."""
    return el("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def text_width(content: str, size: float = 13) -> float:
    """About how wide a text is, without asking a browser."""
    return LETTER * size * len(content)


def series_class(series: int) -> str:
    """The class that gives a mark its color."""
    return f"s{series % SERIES_COLORS}"


def marker(series: int, x: float, y: float, size: float = 5.5) -> Html:
    """A circle, square, diamond or triangle, by the number of the series."""
    kind = f"mark {series_class(series)}"
    if series % 4 == 0:
        return el("circle", cx=x, cy=y, r=size, class_=kind)
    corners = {
        1: [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
        2: [(0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)],
        3: [(0, -1.2), (1.15, 0.9), (-1.15, 0.9)],
    }[series % 4]
    points = " ".join(f"{number(x + size * dx)},{number(y + size * dy)}" for dx, dy in corners)
    return el("polygon", points=points, class_=kind)


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers that cover a range."""
    rough = (high - low) / wanted or 1.0
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


# ---- dots and whiskers ---------------------------------------------------------------------------

GROUP_GAP, GROUP_CHARACTERS = 20, 26


@dataclass(frozen=True, slots=True)
class _Rows:
    """How rows are laid out: one line each on a page; on a phone the names stand above the dots."""

    width: float
    heading: float
    height: float
    label_x: float
    label_y: float
    dot_y: float
    left: float
    right: float


def _rows(groups: Sequence[WhiskerGroup], width: float) -> _Rows:
    if width < 500:
        return _Rows(width, 26, 42, 0, 15, 26, 8, width - 8)
    longest = max(len(shorten(group.label, GROUP_CHARACTERS)) for group in groups)
    label_x = max(96.0, text_width("m" * longest) * 1.08) + 28
    label_width = max(text_width(row.label) for group in groups for row in group.rows) + 22
    left = label_x + min(label_width, 300)
    return _Rows(width, 0, 25, label_x, 17, 12.5, left, width - 150)


def whisker_chart(groups: Sequence[WhiskerGroup], axis: Axis, title: str, width: int) -> Html:
    """Groups of dots with intervals over one axis, values printed beside them."""
    rows = _rows(groups, width)
    scale = Scale(axis.low, axis.high, rows.left, rows.right)
    top, y, body = 26.0, 26.0, []
    for group in groups:
        start = y
        body.append(_group_heading(group, rows, y))
        y += rows.heading
        for row in group.rows:
            body.append(_whisker(row, rows, scale, y))
            y += rows.height
        if group.reference is not None:
            x = scale(group.reference)
            body.insert(0, line(x, start - 8, x, y + 6, "reference"))
        y += GROUP_GAP
    bottom = y - GROUP_GAP + 6
    of_all = all(group.reference is None for group in groups)
    grid = _value_axis(axis, scale, top, bottom, of_all)
    return frame(width, bottom + 24, title, grid, *body, class_="chart")


def _group_heading(group: WhiskerGroup, rows: _Rows, y: float) -> Html:
    if rows.heading:
        return text(0, y + 14, f"{shorten(group.label, 36)} ({group.detail})", "group")
    name = text(0, y + rows.label_y, shorten(group.label, GROUP_CHARACTERS), "group")
    below = text(0, y + rows.label_y + 16.5, group.detail, "tick")
    return join([name, below if len(group.rows) > 1 else None])


def _whisker(row: Whisker, rows: _Rows, scale: Scale, top: float) -> Html:
    y = top + rows.dot_y
    room = (rows.width * 0.55 if rows.heading else rows.left - rows.label_x) / (LETTER * 13)
    name = shorten(row.label, max(4, int(room)))
    parts = [
        text(rows.label_x, top + rows.label_y, name, "label"),
        text(rows.width, top + rows.label_y, row.note, "value", "end"),
    ]
    if row.low is not None and row.high is not None:
        low, high = scale(row.low), scale(row.high)
        kind = f"whisker {series_class(row.series)}"
        parts.append(line(low, y, high, y, kind))
        parts += [line(x, y - 4, x, y + 4, kind) for x in (low, high)]
    parts.append(marker(row.series, scale(row.value), y))
    return el("g", el("title", f"{row.label}: {row.note}"), *parts)


def _value_axis(axis: Axis, scale: Scale, top: float, bottom: float, of_all: bool) -> Html:
    """Ticks, and the line to compare all groups against, unless each has its own."""
    parts: list[Html] = []
    for value, label in axis.ticks:
        parts.append(line(scale(value), top - 4, scale(value), bottom, "grid"))
        parts.append(text(scale(value), bottom + 16, label, "tick", "middle"))
    if axis.reference is not None:
        x = scale(axis.reference)
        if of_all:
            parts.append(line(x, top - 8, x, bottom, "reference"))
        parts.append(text(x, top - 13, axis.reference_label, "tick strong", "middle"))
    return el("g", *parts)


# ---- bars ----------------------------------------------------------------------------------------


def stacked_bar(parts: Sequence[tuple[str, int, str]], title: str) -> Html:
    """One bar of (name, size, class) parts; it has no text, so it may stretch to any width."""
    total = sum(size for _, size, _ in parts) or 1
    shapes, x = [], 0.0
    for name, size, kind in parts:
        width = 1000 * size / total
        label = el("title", f"{name}: {size:,}")
        shapes.append(el("rect", label, x=x, y=0, width=width, height=10, class_=f"fill {kind}"))
        x += width
    return el(
        "svg",
        el("title", title),
        *shapes,
        viewBox="0 0 1000 10",
        preserveAspectRatio="none",
        role="img",
        aria_label=title,
        class_="stack",
    )


def bar_cell(share: float) -> Html:
    """A small bar for a table cell; the number stands beside it, so it is hidden from readers."""
    return el(
        "svg",
        el("rect", x=0, y=0, width=max(0.6, 100 * share), height=8, class_="fill s1"),
        viewBox="0 0 100 8",
        preserveAspectRatio="none",
        aria_hidden="true",
        class_="bar",
    )


# ---- curves --------------------------------------------------------------------------------------

LEGEND = 26


def curve_chart(panels: Sequence[Panel], x_label: str, title: str, width: int) -> Html:
    """Panels above each other over one horizontal axis, with a legend on top."""
    xs = [x for panel in panels for curve in panel.curves for x, _ in curve.points]
    scale_x = Scale(0, max(xs), 52, width - 14)
    legend, y = _legend(panels[0].curves, width)
    body = [legend]
    shrink = 0.8 if width < 500 else 1.0
    for panel in panels:
        body.append(text(0, y + 16, panel.label, "group"))
        body.append(_panel(panel, scale_x, y + 30, y + 30 + panel.height * shrink))
        y += 30 + panel.height * shrink + 18
    for value in ticks(0, max(xs), 4 if width < 500 else 6):
        body.append(text(scale_x(value), y, f"{value:,.0f}", "tick", "middle"))
    body.append(text(width - 14, y + 20, x_label, "tick", "end"))
    return frame(width, y + 28, title, *body, class_="chart")


def _panel(panel: Panel, scale_x: Scale, top: float, bottom: float) -> Html:
    ys = [y for curve in panel.curves for _, y in curve.points]
    low, high = (0.0 if panel.from_zero else min(ys)), max(ys)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    scale_y = Scale(low if panel.from_zero else low - margin, high + margin, bottom, top)
    parts = [line(scale_x.start, bottom, scale_x.end, bottom, "axis")]
    for value in ticks(scale_y.low, scale_y.high, 5 if bottom - top > 150 else 4):
        parts.append(line(scale_x.start, scale_y(value), scale_x.end, scale_y(value), "grid"))
        label = panel.tick_text(value)
        parts.append(text(scale_x.start - 8, scale_y(value) + 4, label, "tick", "end"))
    for curve in panel.curves:
        parts.append(_curve(curve, scale_x, scale_y))
    return el("g", *parts)


def _curve(curve: Curve, scale_x: Scale, scale_y: Scale) -> Html:
    color = series_class(curve.series)
    strong = curve.smooth or curve.points
    path = " ".join(f"{number(scale_x(x))},{number(scale_y(y))}" for x, y in strong)
    dots = [
        el("circle", cx=scale_x(x), cy=scale_y(y), r=1.8, class_=f"dot {color}")
        for x, y in (curve.points if curve.smooth else ())
    ]
    dash = DASHES[curve.series % len(DASHES)]
    strong_line = el("polyline", points=path, class_=f"curve {color}", stroke_dasharray=dash)
    return el("g", el("title", curve.label), *dots, strong_line)


def _legend(curves: Sequence[Curve], width: float) -> tuple[Html, float]:
    """A legend that wraps; also the height that it took."""
    x, y, parts = 0.0, 12.0, []
    for curve in curves:
        needed = 44 + text_width(curve.label) + 16
        if x > 0 and x + needed > width:
            x, y = 0.0, y + LEGEND
        parts.append(
            el(
                "line",
                x1=x,
                y1=y,
                x2=x + 34,
                y2=y,
                class_=f"curve {series_class(curve.series)}",
                stroke_dasharray=DASHES[curve.series % len(DASHES)],
            )
        )
        parts.append(text(x + 42, y + 4.5, curve.label, "label"))
        x += needed
    return el("g", *parts), y + LEGEND
