"""A standalone SVG figure of curves over a logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 60, 190, 24, 56
Place = Callable[[float, float], tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Series:
    """A line, or marks without a line.

    Attributes:
        points: Pairs of x > 0 and y, a share.
        marks: Draw circles instead of a line.
        dash: Of the line, as in SVG.
    """

    label: str
    color: str
    points: Sequence[tuple[float, float]]
    marks: bool = False
    dash: str = ""


def draw(title: str, x_label: str, series: Sequence[Series], top: float = 1.0) -> str:
    """Return the SVG; y goes from 0 to `top`, x over the powers of ten that hold all points."""
    every = [x for each in series for x, _ in each.points if x > 0]
    low, high = math.floor(math.log10(min(every))), math.ceil(math.log10(max(every)))
    high = max(high, low + 1)

    def place(x: float, y: float) -> tuple[float, float]:
        across = (math.log10(x) - low) / (high - low)
        right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
        height = min(max(y, 0), top) / top * (bottom - TOP)
        return LEFT + across * (right - LEFT), bottom - height

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="system-ui, sans-serif" font-size="13" role="img" '
        f'aria-label="{escape(title, quote=True)}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        *_axes(low, high, top, x_label, place),
    ]
    for number, each in enumerate(series):
        places = [place(x, y) for x, y in each.points if x > 0]
        parts += _drawn(each, places)
        y = TOP + 12 + 22 * number
        ends = [(WIDTH - RIGHT + 14.0, y), (WIDTH - RIGHT + 38.0, y)]
        parts += _drawn(each, ends[1:] if each.marks else ends)
        parts.append(_text(WIDTH - RIGHT + 46, y + 4, each.label, "start"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _axes(low: int, high: int, top: float, label: str, place: Place) -> Iterator[str]:
    for fifth in range(6):
        x, y = place(10.0**low, top * fifth / 5)
        yield f'<path d="M{x:.1f} {y:.1f}H{WIDTH - RIGHT}" stroke="#e7e5e4"/>'
        yield _text(x - 8, y + 4, f"{100 * top * fifth / 5:.0f}%", "end")
    every = max(1, math.ceil((high - low) / 6))
    for power in range(low, high + 1, every):
        x, y = place(10.0**power, 0)
        yield _text(x, y + 20, f"{10**power:,}" if 0 <= power < 6 else f"1e{power}", "middle")
    yield _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, label, "middle")


def _drawn(series: Series, places: Sequence[tuple[float, float]]) -> Iterator[str]:
    if series.marks:
        for x, y in places:
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{series.color}"/>'
        return
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dash = f' stroke-dasharray="{series.dash}"' if series.dash else ""
    yield (
        f'<polyline points="{path}" fill="none" stroke="{series.color}" stroke-width="2"{dash}/>'
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#44403c">{escape(text)}</text>'
    )
