"""Points with intervals both ways, relative to human summaries at (1, 1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import NamedTuple

from steep.core.formatting import bounds, decimal, shorten
from steep.report.charts import Scale, chart, line, marker, series_class, svg, text, ticks, tip
from steep.report.html import Html, el
from steep.report.results import IntervalEstimate

HEIGHT = 350
NARROWEST = 280.0  # pixels between the axes on a phone: names that fit there fit everywhere
ROOM = 1.35  # of the axes, beyond the farthest figure
RADIUS, LINE_HEIGHT, LABEL_CHARACTERS = 7.0, 15.0, 28
LETTER_WIDTH = 7.3  # of a label, in pixels, on average


@dataclass(frozen=True, slots=True)
class Point:
    """One figure across, one up; points of one `group` are joined in their order."""

    label: str
    series: int
    group: str
    x: IntervalEstimate
    y: IntervalEstimate


class Label(NamedTuple):
    """Where a name is written: the offset of its baseline from the point, and its anchor."""

    dx: float
    dy: float
    anchor: str


PLACES = (
    Label(11, 5, "start"),
    Label(-11, 5, "end"),
    Label(0, 22, "middle"),
    Label(0, -12, "middle"),
    Label(8, 19, "start"),
    Label(-8, 19, "end"),
    Label(8, -9, "start"),
    Label(-8, -9, "end"),
)


def scatter(points: Sequence[Point], axes: tuple[str, str], title: str) -> Html:
    """Return the chart; `axes` name what is across and what is up."""
    across = Scale(0, _limit([each.x for each in points]))
    up = Scale(_limit([each.y for each in points]), 0)  # y grows downwards
    places = [
        (NARROWEST / 100 * across.units(each.x.value), HEIGHT / 100 * up.units(each.y.value))
        for each in points
    ]
    names = [shorten(each.label, LABEL_CHARACTERS) for each in points]
    labels = place_labels(places, [LETTER_WIDTH * len(name) for name in names])
    return chart(
        title,
        "curves",
        el("p", f"{axes[1]}, humans = 1", class_="group"),
        svg(
            *_grid(across, up),
            *_paths(points, across, up),
            *(_cross(each, across, up) for each in points),
            *(_dot(each, across, up, axes) for each in points),
            *(
                _name(each, name, label, across, up)
                for each, name, label in zip(points, names, labels, strict=True)
                if label
            ),
            class_="panel",
            style=f"height:{HEIGHT}px",
        ),
        svg(
            text("100%", 34, f"{axes[0]}, humans = 1", "tick", text_anchor="end"),
            class_="panel",
            style="height:36px",
        ),
    )


def _limit(figures: Sequence[IntervalEstimate]) -> float:
    """Return the end of an axis; intervals of ratios may be very wide and do not count."""
    return ROOM * max(1.0, *(each.value for each in figures))


def _grid(across: Scale, up: Scale) -> Iterator[Html]:
    yield line(0, "100%", "100%", "100%", "axis")
    for value in ticks(0, across.high, 5):
        yield line(across(value), 0, across(value), "100%", "grid")
        yield text(across(value), "100%", f"{value:g}", "tick", dy="17", text_anchor="middle")
    for value in ticks(0, up.low, 5):
        yield line(0, up(value), "100%", up(value), "grid")
        yield text(-8, up(value), f"{value:g}", "tick", dy="4", text_anchor="end")
    yield line(across(1), 0, across(1), "100%", "reference")
    yield line(0, up(1), "100%", up(1), "reference")


def _paths(points: Sequence[Point], across: Scale, up: Scale) -> Iterator[Html]:
    """Join the points of each group."""
    for _, group in groupby(points, key=lambda each: each.group):
        for a, b in pairwise(group):
            ends = (across(a.x.value), up(a.y.value), across(b.x.value), up(b.y.value))
            yield line(*ends, f"joins {series_class(a.series)}")


def _cross(point: Point, across: Scale, up: Scale) -> Html:
    """Return both intervals; one that leaves the field, or is open, ends at its edge."""
    kind = f"whisker thin {series_class(point.series)}"
    left, right = _ends(point.x, across.high)
    low, high = _ends(point.y, up.low)
    x, y = across(point.x.value), up(point.y.value)
    return el(
        "g", line(across(left), y, across(right), y, kind), line(x, up(low), x, up(high), kind)
    )


def _ends(figure: IntervalEstimate, limit: float) -> tuple[float, float]:
    low = 0.0 if figure.low is None else max(0.0, figure.low)
    return low, limit if figure.high is None else min(limit, figure.high)


def _dot(point: Point, across: Scale, up: Scale, axes: tuple[str, str]) -> Html:
    values = [
        f"{name} {decimal(each.value, 2)} {bounds(each.low, each.high, 2)}"
        for name, each in zip(axes, (point.x, point.y), strict=True)
    ]
    dot = marker(point.series, across(point.x.value), up(point.y.value), RADIUS - 1)
    return el("g", dot, data_tip=tip(point.label, *values))


def _name(point: Point, name: str, label: Label, across: Scale, up: Scale) -> Html:
    return text(
        across(point.x.value),
        up(point.y.value),
        name,
        "label",
        dx=str(label.dx),
        dy=str(label.dy),
        text_anchor=label.anchor,
    )


# ---- names ---------------------------------------------------------------------------------------

Box = tuple[float, float, float, float]  # left, top, right, bottom


def place_labels(
    places: Sequence[tuple[float, float]], widths: Sequence[float]
) -> list[Label | None]:
    """Return a free place for each name, in the order given; None where there is none."""
    taken = [(x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS) for x, y in places]
    labels: list[Label | None] = []
    for index, (place, width) in enumerate(zip(places, widths, strict=True)):
        others = taken[:index] + taken[index + 1 :]
        boxes = {label: label_box(place, label, width) for label in PLACES}
        free = next((label for label in PLACES if _is_free(boxes[label], others)), None)
        labels.append(free)
        taken += [boxes[free]] if free else []
    return labels


def label_box(place: tuple[float, float], label: Label, width: float) -> Box:
    """Return the area that a name covers."""
    left = place[0] + label.dx - {"start": 0.0, "middle": width / 2, "end": width}[label.anchor]
    base = place[1] + label.dy
    return (left, base - LINE_HEIGHT * 0.85, left + width, base + LINE_HEIGHT * 0.25)


def _is_free(box: Box, taken: Sequence[Box]) -> bool:
    left, top, right, bottom = box
    inside = left >= 0 and right <= NARROWEST and top >= 0 and bottom <= HEIGHT
    return inside and not any(
        left < other[2] and other[0] < right and top < other[3] and other[1] < bottom
        for other in taken
    )
