"""The section of a scaling study: chart, tables and sentences from a typed result."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from fixture_run import write_run
from fixture_study import ARMS, SIZES, accuracy, graded, metric_of_study, study_of, study_plan

from steep.core.files import write_json
from steep.core.formatting import count
from steep.report.render import render_report, study_page
from steep.report.scaling_chart import scaling_chart
from steep.scaling.config import POINTER_NAME, ScaleConfig
from steep.scaling.results import (
    RESULT_NAME,
    MetricStudy,
    StudyResult,
    read_study,
    write_study,
)
from steep.scaling.study import StudyPoint, metric_study, study_points


@pytest.fixture(scope="module")
def points() -> tuple[StudyPoint, ...]:
    return study_plan()


@pytest.fixture(scope="module")
def metric(points: tuple[StudyPoint, ...]) -> MetricStudy:
    return metric_of_study(points)


@pytest.fixture(scope="module")
def study(metric: MetricStudy) -> StudyResult:
    return study_of(metric)


def words(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page.partition("<main ")[2]).split())


def test_the_gate_compares_the_largest_size_with_everything_else(metric: MetricStudy) -> None:
    (arm,) = metric.gains
    gains = {gain.over: gain for gain in arm.gains}
    assert arm.tokens == SIZES[-1]
    assert gains["base"].points.value == pytest.approx(0.44, abs=0.08)
    assert gains["raw"].excludes_zero and gains["raw"].points.low > 0
    assert gains["retrieval"].points.value == pytest.approx(0.19, abs=0.08)


def test_a_page_says_what_was_found(study: StudyResult) -> None:
    said = words(study_page(study, "mine", {"base": 0, "raw": 1, "written": 2}))
    assert "raw: no line is drawn. Flat:" in said
    assert "written: log-linear, the only form that these sizes allow." in said
    assert "yes: the interval excludes zero" in said
    assert "$12.50" in said and "1 h 00 min" in said
    assert "The cost of training needs train.gpu_hour_usd." in said


def test_the_chart_has_a_logarithmic_axis_with_fit_band_and_references(metric: MetricStudy) -> None:
    drawn = scaling_chart(metric, {"raw": 1, "written": 2}).text
    places = [float(x) for x in re.findall(r'<svg x="([\d.]+)%"', drawn)]
    steps = np.diff(sorted({round(each, 1) for each in places if each}))
    assert len(steps) == len(SIZES) - 1 and np.ptp(steps) < 0.3, "equal factors, equal distances"
    assert drawn.count('class="band ') == 2 and drawn.count('class="reference"') == 2
    assert drawn.count('class="model ') == 16
    assert ">base<" in drawn and ">retrieval<" in drawn
    assert all(f">{count(size)}<" in drawn for size in SIZES)


def test_a_result_is_read_back_as_it_was_written(study: StudyResult, tmp_path: Path) -> None:
    write_study(tmp_path / "study.json", study)
    assert read_study(tmp_path / "study.json") == study


def test_the_report_of_a_run_has_the_section_of_its_study(
    study: StudyResult, tmp_path: Path
) -> None:
    run_directory = write_run(tmp_path)
    assert 'id="scaling"' not in render_report(tmp_path, run_directory).read_text()
    write_study(tmp_path / ".steep" / "scale-01234567" / RESULT_NAME, study)
    write_json(run_directory / POINTER_NAME, {"scale": "scale-01234567"})
    page = render_report(tmp_path, run_directory).read_text()
    assert 'id="scaling"' in page and 'href="#scaling"' in page


def test_missing_models_leave_no_fit_and_no_gain(points: tuple[StudyPoint, ...]) -> None:
    late = next(each for each in points if not each.matched)
    grades = {each.name: graded(accuracy(each), n) for n, each in enumerate(points) if each != late}
    grades |= {"base": graded(0.35, 100)}
    trained = {each.name: 1 for each in points}
    found = metric_study("accuracy", points, grades, trained, [])
    curves = {curve.arm: curve for curve in found.curves}
    assert curves["written"].fit.refused == "1 of 8 models are not finished"
    assert not found.gains and not curves["written"].fit.band


def test_log_spaced_sizes_end_with_all_texts() -> None:
    settings = ScaleConfig(points=5, smallest=0.01, seeds=3)
    points = study_points(settings, ARMS, {"raw": 500, "written": 100_000}, 7)
    sizes = [each.tokens for each in points if each.arm == "written" and each.seed == 7]
    assert sizes[0] == 1_000 and sizes[-1] == 100_000
    factors = [b / a for a, b in pairwise(sizes)]
    assert factors == pytest.approx([100**0.25] * 4, rel=0.01)
    assert [each.seed for each in points] == sorted(each.seed for each in points)
    assert len(points) == 2 * 5 * 3
    raw = [each.tokens for each in points if each.arm == "raw" and each.seed == 8]
    assert raw == sizes, "an arm of documents alone is trained as long as the others"
