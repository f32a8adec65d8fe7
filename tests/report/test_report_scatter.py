"""Points with intervals both ways: what leaves the frame, what is joined."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from steep.report.results import IntervalEstimate
from steep.report.scatter import HEIGHT, NARROWEST, Point, label_box, place_labels, scatter


def test_a_cross_ends_at_the_frame() -> None:
    """An open bound, and one far outside, would leave the picture."""
    across, up = IntervalEstimate(5, 0.5, None, 900.0), IntervalEstimate(5, 2.0, 0.5, None)
    wild = Point("m short", 1, "m", across, up)
    picture = scatter([wild], ("across", "up"), "title").text

    cross = re.findall(r'<line (.*?) class="whisker thin s1">', picture)
    ends = [float(n) for line in cross for n in re.findall(r'x\d="([^"]*)%"', line)]
    assert (min(ends), max(ends)) == (0, 100)
    ups = [float(n) for line in cross for n in re.findall(r'y\d="([^"]*)%"', line)]
    assert min(ups) == 0


def test_lengths_of_one_model_are_joined_and_others_are_not() -> None:
    places = {"m short": (0.2, 1.0), "m long": (1.4, 2.0), "n short": (0.8, 0.4)}
    points = [
        Point(
            label, 1, label[0], IntervalEstimate(5, x, 0.1, 3.0), IntervalEstimate(5, y, 0.1, 3.0)
        )
        for label, (x, y) in places.items()
    ]
    picture = scatter(points, ("across", "up"), "title").text

    assert picture.count('class="joins') == 1
    for label in places:
        assert f">{label}</text>" in picture


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, NARROWEST), st.floats(0, HEIGHT)), min_size=1, max_size=40),
    st.floats(1, 4),
)
def test_names_never_cover_one_another_on_a_phone_or_a_wider_screen(
    places: list[tuple[float, float]], wider: float
) -> None:
    labels = place_labels(places, [83.0] * len(places))

    assert labels[0] is not None or len(places) > 1 or min(places[0]) < 30
    boxes = [
        label_box((x * wider, y), label, 83.0)
        for (x, y), label in zip(places, labels, strict=True)
        if label
    ]
    for i, (left, top, right, bottom) in enumerate(boxes):
        assert left >= -1e-6 and right <= NARROWEST * wider + 1e-6
        for other in boxes[i + 1 :]:
            beside = right <= other[0] + 1e-6 or other[2] <= left + 1e-6
            assert beside or bottom <= other[1] or other[3] <= top
