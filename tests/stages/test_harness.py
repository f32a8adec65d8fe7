"""Finished, unfinished and changed artifacts; two makers of one."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import pytest

from steep.core.artifacts import WORK_TIME, Artifact, Identity, Project, build, only_maker
from steep.core.errors import UserError


def identity(inputs: dict[str, Artifact] | None = None, **fields: Any) -> Identity:
    return Identity("corpus", 1, fields, inputs or {})


def make(directory: Path) -> dict[str, Any]:
    (directory / "data").write_text("made")
    return {"counts": {"rows": 1}}


def never(directory: Path) -> dict[str, Any]:
    raise AssertionError("it was made again")


def test_what_is_finished_is_not_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    project = Project(tmp_path)
    made = build(project, identity(size=1), make)
    assert (made.path / "data").read_text() == "made"
    assert build(project, identity(size=1), never) == made
    assert "done before" in caplog.text
    assert made.manifest["counts"] == {"rows": 1} and made.manifest["wall_s"] >= 0


def test_what_was_interrupted_is_made_again_in_the_same_place(tmp_path: Path) -> None:
    project = Project(tmp_path)

    def killed(directory: Path) -> dict[str, Any]:
        (directory / "half").write_text("half")
        (directory / ".checkpoint.7.tmp").mkdir()
        (directory / ".data.7.tmp").write_text("half")
        (directory / ".link.7.tmp").symlink_to(directory)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(project, identity(), killed)
    assert project.find("corpus", identity().hash8) is None
    made = build(project, identity(), make)
    assert (made.path / "half").exists(), "what may be continued is left alone"
    assert not [*made.path.glob(".*.tmp")]


def test_a_change_is_named_and_the_old_artifact_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    project = Project(tmp_path)
    text = build(project, Identity("documents", 1, {"content": "a" * 16}, {}), make)
    other = build(project, Identity("documents", 1, {"content": "b" * 16}, {}), make)
    assert "because of other content" in caplog.text
    first = build(project, identity({"documents": text}, size=1, kind="a"), make)
    second = build(project, identity({"documents": other}, size=2, kind="a"), make)
    assert "size 1 -> 2; other documents" in caplog.text
    assert first.path != second.path and first.path.is_dir()
    build(project, identity(size=2, kind="a"), make)
    assert caplog.records[-2].getMessage().endswith("because of other documents")


def test_the_order_of_fields_is_no_change() -> None:
    assert identity(a=1, b=2).hash8 == identity(b=2, a=1).hash8
    assert identity(a=1).hash8 != identity(a=2).hash8
    assert identity(a=1).hash8 != Identity("corpus", 2, {"a": 1}, {}).hash8


def test_the_time_of_interrupted_runs_and_of_other_parts_counts(tmp_path: Path) -> None:
    def interrupted(directory: Path) -> dict[str, Any]:
        time.sleep(0.3)
        raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            build(Project(tmp_path), identity(), interrupted)
    made = build(Project(tmp_path), identity(), lambda directory: {"wall_s": 1234.5})
    assert 1235.1 <= made.manifest["wall_s"] < 1244
    assert not (made.path / WORK_TIME).exists()


def test_one_artifact_has_one_maker_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "train-00000000"
    with only_maker(path), pytest.raises(UserError, match="Another run"), only_maker(path):
        pass
    with only_maker(path):
        pass
