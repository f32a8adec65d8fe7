"""The file by which another process follows a run."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from steep.core.run_progress import (
    PROGRESS_NAME,
    SILENT_S,
    RunProgress,
    TaskProgress,
    read_progress,
)


def progress(**changes: Any) -> RunProgress:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    task = TaskProgress("generate", "calls", 3, 10, facts={"endpoints": "2"})
    found = RunProgress(os.getpid(), now, now, "run", "running", "generate", (task,))
    return replace(found, **{"host": platform.node(), **changes})


def write(directory: Path, **more: Any) -> None:
    content = {"version": 1, **asdict(progress()), **more}
    (directory / PROGRESS_NAME).write_text(json.dumps(content))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert read_progress(tmp_path) is None
    write(tmp_path)
    found = read_progress(tmp_path)
    assert found is not None and found.tasks == progress().tasks and found.is_running


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"version": 2}', '{"version": 1, "tasks": [{}]}', '{"version": 1}', "null"],
)
def test_a_file_that_is_not_understood_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / PROGRESS_NAME).write_text(text)
    assert read_progress(tmp_path) is None


def test_keys_of_a_newer_version_are_ignored(tmp_path: Path) -> None:
    write(tmp_path, new=1)
    assert read_progress(tmp_path) is not None


def test_a_run_counts_as_ended_when_its_process_has_gone() -> None:
    gone = subprocess.Popen([sys.executable, "-c", "pass"])
    gone.wait()
    assert progress().is_running
    assert not progress(state="done").is_running
    assert not progress(pid=gone.pid).is_running
    assert not progress(pid=gone.pid, host="").is_running  # as is written without a name


def test_a_run_on_another_machine_counts_as_ended_after_silence() -> None:
    before = datetime.now(UTC) - timedelta(seconds=SILENT_S + 5)
    elsewhere = progress(pid=1)
    assert replace(elsewhere, host="elsewhere").is_running
    assert not replace(elsewhere, host="elsewhere", updated=before.isoformat()).is_running
