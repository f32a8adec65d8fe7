"""`steep status` looks and touches nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from steep_command import Steep

pytest_plugins = ["command_fixtures"]


def listing(folder: Path) -> dict[str, float]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def test_status_of_a_fresh_project_writes_nothing(project: Path, steep: Steep) -> None:
    before = listing(project)
    ended = steep("status", "--json", cwd=project)
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert found["plan"]["planned"] == found["plan"]["to_do"] == found["unopened"] == 3
    assert found["artifacts"] == [] and found["ledger"]["calls"] == 0
    assert listing(project) == before
    assert "3 documents still lack their entities" in steep("status", cwd=project).out
    assert ended.err == ""


@pytest.mark.parametrize("verb", ["status", "run"])
def test_a_project_is_found_from_elsewhere(
    project: Path, steep: Steep, tmp_path: Path, verb: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    stop = ["--set", "generate.recipe=null", "--set", "train.arms={}"]
    ended = steep(verb, "-c", project / "steep.yaml", *stop, cwd=elsewhere)
    assert ended.code == 0, ended.err
    assert not any(elsewhere.iterdir())
