"""The study and the comparison of recipes in the report: theory, cost per point."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from fixture_run import write_run
from fixture_study import comparison_of_recipes
from fixture_theory import add_comparison, add_study, study

from steep.report.render import comparison_page, render_report, study_page
from steep.report.scaling_chart import scaling_chart
from steep.report.sections.theory import theory_part
from steep.scaling.results import Bounded, MetricStudy, per_point


def words(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page.partition("<main")[2]).split())


def without_theory(found: MetricStudy, why: str) -> MetricStudy:
    curves = (
        replace(each, theory=None, theory_refused="" if each.matched else why)
        for each in found.curves
    )
    return replace(found, curves=tuple(curves))


def test_the_theory_is_drawn_over_the_points() -> None:
    (metric,) = study().metrics
    fits = {curve.arm: curve.theory for curve in metric.curves}
    assert fits["raw"] is None, "its tokens are those of documents"
    assert fits["entigraph"] is not None and fits["entigraph"].rise > 0
    drawn = scaling_chart(metric, {"raw": 1, "entigraph": 2}).text
    assert drawn.count('class="curve theory s2"') == 2, "the curve, and the line of its key"
    assert 'data-layer="theory"' in drawn and "entigraph, theory (lambda " in drawn
    assert "theory" not in scaling_chart(without_theory(metric, "Few."), {}).text


def test_the_page_says_how_well_the_theory_fits() -> None:
    said = words(study_page(study(), "mine", {}))
    assert re.search(r"entigraph: the theory (fits|is supported) .* than|as well as", said)
    assert re.search(r"without the largest size, it misses it by \S+ points \(log-linear \S+", said)
    assert "Dotted lines are the paper's theory." in said


def test_a_theory_that_is_not_fitted_comes_with_the_reason() -> None:
    (metric,) = study().metrics
    part = theory_part(without_theory(metric, "There are too few points."))
    assert part is not None and len(part.blocks) == 1
    said = words(
        study_page(
            replace(study(), metrics=(without_theory(metric, "There are too few points."),)), "", {}
        )
    )
    assert "entigraph: the theory is not fitted. There are too few points." in said
    assert "Dotted lines" not in said
    assert theory_part(without_theory(metric, "")) is None


def test_the_gain_from_twice_the_tokens_has_an_interval() -> None:
    (metric,) = study().metrics
    doubled = {curve.arm: curve.fit.doubled for curve in metric.curves}
    assert doubled["raw"] is None, "flat"
    gain = doubled["entigraph"]
    assert gain is not None and gain.low <= gain.value <= gain.high
    assert 0.01 < gain.value < 0.05, "0.06 for four times the tokens"


@pytest.mark.parametrize(
    ("gain", "expected"),
    [
        (Bounded(value=0.10, low=0.05, high=0.20), (0.8, 0.4, 1.6)),
        (Bounded(value=0.10, low=0.0, high=0.20), None),
        (Bounded(value=-0.10, low=-0.2, high=-0.05), None),
    ],
)
def test_a_cost_per_point_has_the_interval_of_the_gain(
    gain: Bounded, expected: tuple[float, float, float] | None
) -> None:
    found = per_point(8.0, gain)
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert (found.value, found.low, found.high) == pytest.approx(expected)


def test_recipes_have_a_cost_per_point_where_the_gain_is_decided() -> None:
    said = words(comparison_page(comparison_of_recipes(), "mine", {}))
    assert re.search(r"entigraph 2 .*\$0\.\d+ \[\$0\.\d+, \$0\.\d+\]", said)
    assert "not determined" in said, "rephrase may gain nothing"
    assert re.search(r"\d+ s \[\d+ s, ", said) or re.search(r"min \d\d s \[", said), "training"
    assert "entigraph is better" in said or "self-qa and" in said or "is better than" in said


def test_the_report_shows_the_comparison_of_its_run(tmp_path: Path) -> None:
    run_directory = write_run(tmp_path)
    assert 'id="comparison"' not in render_report(tmp_path, run_directory).read_text()
    add_comparison(tmp_path, run_directory)
    add_study(tmp_path, run_directory)
    page = render_report(tmp_path, run_directory).read_text()
    assert 'id="comparison"' in page and 'href="#comparison"' in page
    assert page.index('id="scaling"') < page.index('id="comparison"') < page.index('id="caveats"')


def test_the_gate_has_dollars_per_point_with_their_interval() -> None:
    said = words(study_page(study(), "mine", {}))
    assert re.search(r"dollars per point \$0\.\d+ \[\$0\.\d+, \$0\.\d+\]", said)
    assert re.search(r"training time per point \d+ ", said)
