"""Points with intervals both ways: what leaves the frame, what is joined."""

from __future__ import annotations

import re

import pytest

from steep.report.scatter import Point, scatter
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
