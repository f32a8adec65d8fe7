"""Points with intervals both ways: what leaves the frame, what is joined."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steep.report.scatter import Box, Point, place_labels, scatter
from steep.report.view_models import Estimate


@pytest.mark.parametrize("width", [350, 960])
def test_a_cross_ends_at_the_frame(width: int) -> None:
    """An open bound, and one far outside, would leave the picture."""
    across, up = Estimate(5, 0.5, None, 900.0), Estimate(5, 2.0, 0.5, None)
    wild = Point("m short", 1, "m", across, up)
    picture = scatter([wild], ("across", "up"), "title", width).text

    cross = re.findall(r'<line (.*?) class="whisker thin s1">', picture)
    ends = [float(n) for line in cross for n in re.findall(r'x\d="(.*?)"', line)]
    assert (min(ends), max(ends)) == (52, width - 14)
    ups = [float(n) for line in cross for n in re.findall(r'y\d="(.*?)"', line)]
    assert min(ups) == 34


def test_lengths_of_one_model_are_joined_and_others_are_not() -> None:
    places = {"m short": (0.2, 1.0), "m long": (1.4, 2.0), "n short": (0.8, 0.4)}
    points = [
        Point(label, 1, label[0], Estimate(5, x, 0.1, 3.0), Estimate(5, y, 0.1, 3.0))
        for label, (x, y) in places.items()
    ]
    picture = scatter(points, ("across", "up"), "title", 960).text

    assert picture.count('class="joins') == 1
    for label in places:
        assert f">{label}</text>" in picture


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 700), st.integers(0, 500)), min_size=1, max_size=40))
def test_names_never_cover_one_another_and_stay_in_the_box(places: list[tuple[int, int]]) -> None:
    box, width = Box(700, 500, 0), 83.0

    labels = place_labels(places, [8.0] * len(places), [width] * len(places), 15, box)

    spans = []
    for label in labels:
        if label is not None:
            left = label.x - {"start": 0, "middle": width / 2, "end": width}[label.anchor]
            spans.append((left, left + width, label.y - 12, label.y + 3))
    for i, (left, right, top, bottom) in enumerate(spans):
        assert left >= 0 and right <= box.width
        for other in spans[i + 1 :]:
            apart = right <= other[0] or other[1] <= left or bottom <= other[2] or other[3] <= top
            assert apart
