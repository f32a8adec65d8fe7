from __future__ import annotations

import os
from pathlib import Path

from steep.core.artifacts import MANIFEST, Project
from steep.core.files import write_json


def test_an_artifact_is_there_once_its_manifest_is(tmp_path: Path) -> None:
    project = Project(tmp_path)
    path = project.artifact_path("corpus", "0123abcd")
    assert path == tmp_path / ".steep" / "corpus-0123abcd"
    path.mkdir(parents=True)
    assert project.find("corpus", "0123abcd") is None
    assert project.finished("corpus") == []
    write_json(path / MANIFEST, {"passages": 3})
    found = project.find("corpus", "0123abcd")
    assert found is not None
    assert (found.stage, found.path, found.hash8) == ("corpus", path, "0123abcd")
    assert found.manifest == {"passages": 3}


def test_finished_artifacts_come_in_the_order_of_time(tmp_path: Path) -> None:
    project = Project(tmp_path)
    for age_s, (stage, hash8) in enumerate([("train", "b"), ("train", "a"), ("trainer", "c")]):
        path = project.artifact_path(stage, hash8) / MANIFEST
        write_json(path, {})
        os.utime(path, (1000 - age_s, 1000 - age_s))
    assert [artifact.hash8 for artifact in project.finished("train")] == ["a", "b"]


def test_ledger_and_runs_have_their_places(tmp_path: Path) -> None:
    project = Project(tmp_path)
    assert project.ledger_path == tmp_path / ".steep" / "ledger.db"
    assert project.run_directory("x") == tmp_path / "runs" / "x"
