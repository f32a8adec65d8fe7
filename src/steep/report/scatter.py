"""Points with intervals both ways, beside people's summaries at (1, 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import NamedTuple

from steep.core.formatting import bounds, decimal, shorten
from steep.report.html import Html, el
from steep.report.svg import Scale, frame, line, marker, series_class, text, text_width, ticks
from steep.report.view_models import Estimate

LEFT, RIGHT, TOP, BELOW = 52, 14, 34, 46  # around the field, for ticks and names of axes
ROOM = 1.35  # of the axes, beyond the farthest figure
RADIUS, LABEL_HEIGHT, LABEL_CHARACTERS = 7.0, 15.0, 28


@dataclass(frozen=True, slots=True)
class Box:
    """The area that may be used, in pixels."""

    width: float
    height: float
    margin: float


class Label(NamedTuple):
    """Where a name is written: the start of its baseline and how it is anchored."""

    x: float
    y: float
    anchor: str


class _Rectangle(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: _Rectangle) -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


@dataclass(frozen=True, slots=True)
class Point:
    """One figure across, one up; points of one `group` are joined in their order."""

    label: str
    series: int
    group: str
    x: Estimate
    y: Estimate


def scatter(points: Sequence[Point], axes: tuple[str, str], title: str, width: int) -> Html:
    """The picture; `axes` name what is across and what is up."""
    height = 430 if width > 500 else 330
    x = Scale(0, _limit([each.x for each in points]), LEFT, width - RIGHT)
    y = Scale(0, _limit([each.y for each in points]), height - BELOW, TOP)
    labels = _labels(points, x, y, width, height)
    return frame(
        width,
        height,
        title,
        _grid(x, y, axes, width),
        *_paths(points, x, y),
        *(_cross(each, x, y) for each in points),
        *(_dot(each, x, y) for each in points),
        *(
            text(label.x, label.y, shorten(each.label, LABEL_CHARACTERS), "label", label.anchor)
            for each, label in zip(points, labels, strict=True)
            if label
        ),
        class_="chart",
    )


def _limit(figures: Sequence[Estimate]) -> float:
    """Intervals of ratios may be very wide, so the figures and people's 1 decide."""
    return ROOM * max(1.0, *(each.value for each in figures))


def _grid(x: Scale, y: Scale, axes: tuple[str, str], width: int) -> Html:
    across, up = axes
    parts = [line(x.start, y.start, x.end, y.start, "axis")]
    for value in ticks(0, x.high, 4 if width < 500 else 6):
        parts.append(line(x(value), y.start, x(value), y.end, "grid"))
        parts.append(text(x(value), y.start + 17, f"{value:g}", "tick", "middle"))
    for value in ticks(0, y.high, 5):
        parts.append(line(x.start, y(value), x.end, y(value), "grid"))
        parts.append(text(x.start - 8, y(value) + 4, f"{value:g}", "tick", "end"))
    parts.append(line(x(1), y.start, x(1), y.end, "reference"))
    parts.append(line(x.start, y(1), x.end, y(1), "reference"))
    parts.append(text(x.end, y.start + 38, f"{across}, people = 1", "tick", "end"))
    parts.append(text(0, 14, f"{up}, people = 1", "tick"))
    return el("g", *parts)


def _paths(points: Sequence[Point], x: Scale, y: Scale) -> list[Html]:
    """What one model wrote shorter and longer."""
    paths = []
    for _, group in groupby(points, key=lambda each: each.group):
        own = list(group)
        for a, b in pairwise(own):
            ends = (x(a.x.value), y(a.y.value), x(b.x.value), y(b.y.value))
            paths.append(line(*ends, f"joins {series_class(a.series)}"))
    return paths


def _cross(point: Point, x: Scale, y: Scale) -> Html:
    """Both intervals; one that leaves the field, or is open, ends at its edge."""
    kind = f"whisker thin {series_class(point.series)}"
    left, right = _ends(point.x, x)
    low, high = _ends(point.y, y)
    at_x, at_y = x(point.x.value), y(point.y.value)
    return el("g", line(left, at_y, right, at_y, kind), line(at_x, low, at_x, high, kind))


def _ends(figure: Estimate, scale: Scale) -> tuple[float, float]:
    low = scale.low if figure.low is None else max(scale.low, figure.low)
    high = scale.high if figure.high is None else min(scale.high, figure.high)
    return scale(low), scale(high)


def _dot(point: Point, x: Scale, y: Scale) -> Html:
    said = [
        f"{name} {decimal(each.value, 2)} {bounds(each.low, each.high, 2)}"
        for name, each in (("salient", point.x), ("false", point.y))
    ]
    return el(
        "g",
        el("title", f"{point.label}: {', '.join(said)}"),
        marker(point.series, x(point.x.value), y(point.y.value), RADIUS - 1),
    )


def _labels(
    points: Sequence[Point], x: Scale, y: Scale, width: int, height: int
) -> list[Label | None]:
    """A free place for each name within the field; a name without one is in the dot's tooltip."""
    names = [shorten(each.label, LABEL_CHARACTERS) for each in points]
    # Moved so that the field's corner is the origin: names stay clear of ticks.
    places = [(x(each.x.value) - LEFT, y(each.y.value) - TOP) for each in points]
    box = Box(width - LEFT - RIGHT, height - TOP - BELOW, 0)
    widths = [text_width(name) for name in names]
    found = place_labels(places, [RADIUS] * len(points), widths, LABEL_HEIGHT, box)
    return [
        Label(each.x + LEFT, each.y + TOP, each.anchor) if each is not None else None
        for each in found
    ]


def place_labels(
    positions: Sequence[tuple[float, float]],
    radii: Sequence[float],
    widths: Sequence[float],
    text_height: float,
    box: Box,
) -> list[Label | None]:
    """A free place for each name, in the order given; None where there is none."""
    taken = [
        _Rectangle(x - radius, y - radius, x + radius, y + radius)
        for (x, y), radius in zip(positions, radii, strict=True)
    ]
    labels: list[Label | None] = []
    for index, ((x, y), radius, width) in enumerate(zip(positions, radii, widths, strict=True)):
        others = taken[:index] + taken[index + 1 :]
        found = _free_label(x, y, radius, width, text_height, box, others)
        labels.append(found[0] if found else None)
        if found:
            taken.append(found[1])
    return labels


def _free_label(
    x: float,
    y: float,
    radius: float,
    width: float,
    height: float,
    box: Box,
    taken: Sequence[_Rectangle],
) -> tuple[Label, _Rectangle] | None:
    side, below, above = radius + 4, y + radius + height, y - radius - 5
    candidates = (
        Label(x + side, y + height / 3, "start"),
        Label(x - side, y + height / 3, "end"),
        Label(x, below, "middle"),
        Label(x, above, "middle"),
        Label(x + side * 0.7, below - 3, "start"),
        Label(x - side * 0.7, below - 3, "end"),
        Label(x + side * 0.7, above + 3, "start"),
        Label(x - side * 0.7, above + 3, "end"),
    )
    for label in candidates:
        left = label.x - {"start": 0.0, "middle": width / 2, "end": width}[label.anchor]
        space = _Rectangle(left, label.y - height * 0.85, left + width, label.y + height * 0.25)
        inside = space.left >= 0 and space.right <= box.width and space.top >= 0
        if inside and space.bottom <= box.height and not any(map(space.overlaps, taken)):
            return label, space
    return None
