"""The top of the page, the next steps, how to reproduce a run, and its settings."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fixture_run import artifact, drop_artifact, edit, words, write_run
from fixture_tables import tables
from fixture_theory import add_comparison, add_study

from steep.core.files import read_json
from steep.report.blocks import Figure, PageSection
from steep.report.next_steps import next_steps
from steep.report.render import render_report
from steep.report.run_data import ReportData, load_run
from steep.report.sections.closed_book import likelihood


def run_of(root: Path, **found: Any) -> ReportData:
    return load_run(root, write_run(root, **found))


# ---- the top -------------------------------------------------------------------------------------


def test_the_top_has_the_gain_with_its_interval_and_its_price(tmp_path: Path) -> None:
    run_directory = write_run(tmp_path, **tables())
    top = words(tmp_path, run_directory).partition("Closed book: likelihood")[0]
    assert "points, entigraph over base +40.0 [+26.7, +53.3]" in top
    assert re.search(r"of the gain of retrieval, closed book \d+% \[\d+, \d+\]", top)
    assert "questions 60 about 6 documents" in top
    assert "generation cost per point" not in top, "it was free"
    manifest = artifact(tmp_path, run_directory, "generate") / "manifest.json"
    edit(manifest, cost_usd=8.0)
    top = words(tmp_path, run_directory)
    assert "generation cost per point $0.2000 [$0.1501, $0.2996]" in top
    edit(manifest, cost_usd=None)
    assert "generation cost per point" not in words(tmp_path, run_directory)


def test_the_summary_shows_all_models_with_and_without_retrieval(tmp_path: Path) -> None:
    said = words(tmp_path, write_run(tmp_path, **tables()))
    assert "Accuracy closed book by log-likelihood per token and with retrieval" in said
    alone = words(tmp_path, write_run(tmp_path))
    assert "and with retrieval, over all" not in alone


def test_a_chart_of_one_kind_of_question_is_drawn_once(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    found = run.tables.likelihood
    assert found is not None
    one = tuple(replace(each, by_kind={}) for each in found.models)
    alone = replace(run.tables, likelihood=replace(found, models=one))
    assert _charts(likelihood(run.tables)) == _charts(likelihood(alone)) + 1


def _charts(section: PageSection | None) -> int:
    assert section is not None
    return sum(isinstance(each, Figure) for each in section.blocks)


# ---- next steps ----------------------------------------------------------------------------------


def undecided(root: Path, **changes: Any) -> ReportData:
    """A run whose comparison of entigraph and raw is not significant."""
    run_directory = write_run(root)
    scores = artifact(root, run_directory, "evaluate") / "scores.json"
    likelihood = read_json(scores)["likelihood"]
    likelihood["pairs"][2] |= {"p": 0.2, "p_holm": 0.2, "difference": 0.0915, **changes}
    edit(scores, likelihood=likelihood)
    return load_run(root, run_directory)


def test_an_undecided_comparison_comes_with_the_questions_it_needs(tmp_path: Path) -> None:
    first, *_ = next_steps(undecided(tmp_path))  # of 18.3 points, half
    assert first.startswith(
        "Whether entigraph and raw differ is undecided: +9.2 points [\N{MINUS SIGN}1.7, "
    )
    assert "about 240 questions, instead of 60" in first


@pytest.mark.parametrize(
    ("difference", "expected"),
    [(0.001, "more than 6,000 questions"), (0.2, "about as many questions as here (60)")],
)
def test_differences_that_are_tiny_or_large(
    tmp_path: Path, difference: float, expected: str
) -> None:
    first, *_ = next_steps(undecided(tmp_path, difference=difference))
    assert expected in first


def test_a_study_gives_the_gain_and_the_cost_of_twice_the_tokens(tmp_path: Path) -> None:
    run_directory = write_run(tmp_path)
    assert any(
        "steep scale --plan" in each for each in next_steps(load_run(tmp_path, run_directory))
    )
    add_study(tmp_path, run_directory)
    said = next(each for each in next_steps(load_run(tmp_path, run_directory)) if "grow" in each)
    assert said.startswith("Accuracy of entigraph still grows: 2,048,000 tokens instead of ")
    assert re.search(r"are expected to give \+\d\.\d points \[\+\d\.\d, \+\d\.\d\] \(by the ", said)
    assert "This takes about $12.50 for the texts and 2 h 00 min of training per model." in said
    assert "steep scale --plan" not in said


def test_what_was_forgotten_or_rejected_is_a_next_step(tmp_path: Path) -> None:
    run_directory = write_run(tmp_path, **tables())
    outcomes = read_json(run_directory / "run.json")["outcomes"]
    outcomes[1]["completion_tokens"] = 40_000
    edit(run_directory / "run.json", outcomes=outcomes)
    steps = next_steps(load_run(tmp_path, run_directory))
    assert any(each.startswith("Raw is worse on general text than base by 0.1") for each in steps)
    assert any("most of them as 'truncated'" in each and "max_tokens" in each for each in steps)
    assert not any("Retrieval was not measured" in each for each in steps)


def test_there_are_no_next_steps_without_results(tmp_path: Path) -> None:
    run_directory = write_run(tmp_path)
    drop_artifact(run_directory, "evaluate")
    assert next_steps(load_run(tmp_path, run_directory)) == []
    assert "Next steps" not in words(tmp_path, run_directory)


# ---- how to reproduce, and settings --------------------------------------------------------------


def test_the_commands_of_a_run_are_shown(tmp_path: Path) -> None:
    run_directory = write_run(tmp_path)
    said = words(tmp_path, run_directory).partition("How to reproduce")[2]
    assert "steep import --corpus CORPUS steep run --set generate.recipes={}" in said
    assert "steep==0.1.0 python==3.12.1 torch==2.9.1" in said
    assert "d" * 64 in said and "e" * 64 in said
    assert "Equal bit for bit" in said and "Equal up to rounding" in said
    assert "steep scale" not in said
    add_study(tmp_path, run_directory)
    add_comparison(tmp_path, run_directory)
    said = words(tmp_path, run_directory).partition("How to reproduce")[2]
    assert "steep scale steep compare --recipes entigraph,qa,rephrase --tokens 100000" in said


def test_settings_that_differ_from_the_defaults_come_first(tmp_path: Path) -> None:
    run_directory = write_run(tmp_path)
    said = words(tmp_path, run_directory).partition("Configuration 2 settings")[2]
    assert said.startswith(" differ from the defaults. As steep.yaml, they give this")
    assert "name: demo documents: path: /home/me/articles train: tokens: 16384" in said
    run = read_json(run_directory / "run.json")
    del run["changed"]
    (run_directory / "run.json").write_text("{}")
    edit(run_directory / "run.json", **run)
    assert "differ from the defaults" not in words(tmp_path, run_directory)


def test_a_password_in_an_address_is_not_shown(tmp_path: Path) -> None:
    run_directory = write_run(tmp_path)
    secret = "https://me:s3cret@host/v1"
    config = run_directory / "config.yaml"
    config.write_text(config.read_text() + f"extra:\n  base_url: {secret}\n")
    edit(run_directory / "run.json", changed={"generate": {"base_url": secret}})
    page = render_report(tmp_path, run_directory).read_text()
    assert "s3cret" not in page and page.count("https://***@host/v1") == 2
