"""The ledger in the report: calls by step, what was paid for, endpoints."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from fixture_run import BY_STEP, COUNTS, USAGE, artifact, edit, words, write_run

from steep.core.files import read_json
from steep.report.run_data import load_run
from steep.report.sections.ledger import usd_per_million_tokens, wasted_share


def test_the_fixture_adds_up() -> None:
    counts = Counter[str]()
    for _, own, _ in BY_STEP:
        counts.update(own)
    assert {**counts, "planned": counts.total(), "skipped": 0} == COUNTS
    tokens = [sum(column) for column in zip(*(usage for *_, usage in BY_STEP), strict=True)]
    assert tokens == list(USAGE.values())


def test_calls_are_shown_by_recipe_and_step(tmp_path: Path) -> None:
    run_directory = write_run(tmp_path)
    said = words(tmp_path, run_directory)
    assert "entigraph pairs 221 200 2 10 3 4 2 87,406 50,240 40,011 $0.00" in said
    assert "skipped" not in said.split("Calls by recipe and step")[1].split("cost")[0]
    edit(artifact(tmp_path, run_directory, "generate") / "manifest.json", by_step=[])
    assert "Calls by recipe and step" not in words(tmp_path, run_directory)


def test_free_texts_are_counted_in_tokens(tmp_path: Path) -> None:
    said = words(tmp_path, write_run(tmp_path))
    assert "84.6% of the tokens of texts became passages." in said
    assert "became passages 236 44,011 $0.00 83.2%" in said
    assert "rejected: truncated 15 5,000 $0.00 9.4%" in said
    assert "answers that prepare texts 18 900 $0.00 1.7%" in said
    assert "12 attempts of the project returned nothing usable: at most 5,400 tokens" in said


def test_texts_with_a_price_are_counted_in_dollars(tmp_path: Path) -> None:
    run_directory = write_run(tmp_path)
    outcomes = read_json(run_directory / "run.json")["outcomes"]
    for each, usd in zip(outcomes, (0.6, 0.3, 0.06), strict=True):
        each["known_usd"] = usd
    edit(run_directory / "run.json", outcomes=outcomes)
    manifest = artifact(tmp_path, run_directory, "generate") / "manifest.json"
    edit(manifest, cost_usd=1.0, known_usd=1.0)
    said = words(tmp_path, run_directory)
    assert "became passages 236 44,011 $0.6000 60.0%" in said
    assert "answers that prepare texts 18 900 $0.0400 4.0%" in said
    run = load_run(tmp_path, run_directory)
    assert usd_per_million_tokens(run) == pytest.approx(1e6 / 44_011)
    assert "cost per million tokens of passages $22.72" in said
    edit(manifest, cost_usd=None)
    assert usd_per_million_tokens(load_run(tmp_path, run_directory)) is None


def test_endpoints_are_shown_with_their_latency(tmp_path: Path) -> None:
    run_directory = write_run(tmp_path)
    said = words(tmp_path, run_directory)
    assert "277 4 1.10 118,406 61,240 52,911 $0.00 1.1 s / 2.5 s / 9.0 s" in said
    endpoints = read_json(run_directory / "run.json")["endpoints"]
    edit(run_directory / "run.json", endpoints=[{**endpoints[0], "latency_s": []}])
    assert "52,911 $0.00 unknown" in words(tmp_path, run_directory)


def test_a_run_of_an_earlier_version_has_no_such_tables(tmp_path: Path) -> None:
    run_directory = write_run(tmp_path)
    run = read_json(run_directory / "run.json")
    for name in ("outcomes", "endpoints", "lost"):
        run.pop(name)
    (run_directory / "run.json").unlink()
    edit_path = run_directory / "run.json"
    edit_path.write_text("{}")
    edit(edit_path, **run)
    said = words(tmp_path, run_directory)
    assert "What became of the answers" not in said and "median" not in said
    assert wasted_share(load_run(tmp_path, run_directory)) is None
