"""What `steep view` makes of the files of a run: states, stages, training, and what is missing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from view_process import RUN, call, empty_project, record, task, write_progress

from steep.config_loading import load_config
from steep.core.artifacts import Project
from steep.core.jsonl_tail import JsonlTail
from steep.report.live.now import headline, title
from steep.report.live.page import live_page, panels
from steep.report.live.run import LiveRun
from steep.stages.view import RunFollower

Follow = Callable[[], LiveRun]
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>&\"'\u202e</p></main>"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return empty_project(tmp_path / "project")


@pytest.fixture
def follower(root: Path) -> RunFollower:
    return RunFollower(load_config(root / "steep.yaml"), Project(root))


def gone() -> int:
    """The number of a process that has ended."""
    if (pid := os.fork()) == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


def artifact(root: Path, name: str, arm: str | None = None) -> Path:
    path = root / ".steep" / name
    path.mkdir(parents=True, exist_ok=True)
    fields = {"arm": arm} if arm else {}
    manifest = {"identity": {"fields": fields, "inputs": {}}, "wall_s": 2.0, "arm": arm}
    (path / "manifest.json").write_text(json.dumps(manifest))
    return path


def metrics(directory: Path, steps: range, total: int) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    rows = [
        {"step": step, "tokens": 100 * step, "loss": 5.0 - 0.1 * step, "learning_rate": 1e-4,
         "tokens_per_s": 50.0, "left_s": 2.0 * (total - step)}
        for step in steps
    ]  # fmt: skip
    with (directory / "metrics.jsonl").open("a") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows))


def states(run: LiveRun) -> dict[str, str]:
    return {each.name: each.state for each in run.stages}


def test_a_project_without_a_run_waits(follower: RunFollower) -> None:
    run = follower.look()
    assert (run.state, headline(run)) == ("waiting", "Waiting for a run")
    assert "Start steep run" in live_page(run)
    assert set(states(run).values()) == {"open"}


def test_stages_before_the_current_one_are_done_and_those_after_it_are_not(
    root: Path, follower: RunFollower
) -> None:
    for stage in ("documents", "generate", "corpus"):  # the last one is of other settings
        artifact(root, f"{stage}-01234567")
    write_progress(root)
    run = follower.look()
    expected = ["done", "running", "open", "open", "open", "open", "open"]
    assert [*states(run).values()] == expected
    assert title(run) == "25% Running: generate (first)"
    assert "3 of 12 calls (25%), about 18 s left. Phase: texts." in panels(run)["now"]
    write_progress(root, stage="train", tasks=[task("train raw", unit="steps")])
    assert states(follower.look())["train"] == "running"
    write_progress(root, state="done", command="train", stage="train", tasks=[])
    assert states(follower.look())["train"] == "done"
    assert states(follower.look())["evaluate"] == "open"


def test_the_current_task_is_the_innermost_one_that_runs(root: Path, follower: RunFollower) -> None:
    outer, inner = task("train", unit="models"), task("train raw", unit="steps", cost_usd=None)
    write_progress(root, stage="train", tasks=[outer, inner, task("loss", finished=True)])
    run = follower.look()
    assert headline(run) == "Running: train raw"
    drawn = panels(run)["tasks"]
    assert "3 of 12 steps" in drawn and "3 of 12 models" in drawn and "unknown" not in drawn


@pytest.mark.parametrize(
    ("changes", "state", "shown"),
    [
        ({"state": "stopped"}, "stopped", "Stopped: generate"),
        ({"state": "failed"}, "failed", "Failed: generate"),
        ({"state": "done"}, "done", "Finished: steep run"),
        ({"tasks": [], "stage": "run"}, "running", "Running: steep run"),
    ],
)
def test_the_end_of_a_command_is_told(
    root: Path, follower: RunFollower, changes: dict[str, Any], state: str, shown: str
) -> None:
    write_progress(root, **changes)
    run = follower.look()
    assert (run.state, headline(run)) == (state, shown)


def test_a_killed_run_and_a_file_that_is_no_ledger(root: Path, follower: RunFollower) -> None:
    write_progress(root, pid=gone())
    (root / ".steep").mkdir()
    (root / ".steep" / "ledger.db").write_bytes(b"this is not a database" * 100)
    run = follower.look()
    assert (run.state, headline(run)) == ("interrupted", "Not running: generate")
    assert "last seen at" in panels(run)["now"] and "not a ledger" in panels(run)["now"]


def test_without_progress_the_files_tell(root: Path, follower: RunFollower) -> None:
    artifact(root, "documents-01234567")
    record(root, "A text.")
    run = follower.look()
    assert (run.state, headline(run)) == ("active", "Running: generate")
    for path in (root / ".steep").iterdir():
        os.utime(path, (1, 1))
    assert follower.look().state == "idle"
    report = root / RUN / "report.html"
    report.parent.mkdir(parents=True)
    report.write_text("the report")
    run = follower.look()
    assert (run.state, run.report_is_current) == ("done", True)


def test_results_are_shown_when_they_are_there(root: Path, follower: RunFollower) -> None:
    scores = artifact(root, "evaluate-01234567") / "scores.json"
    (root / RUN).mkdir(parents=True)
    (root / RUN / "evaluated.json").write_text('{"evaluate": "evaluate-01234567"}')
    assert follower.look().results is None  # the file is not there
    scores.write_text('{"likelihood": {"a": 1}}')
    other = RunFollower(load_config(root / "steep.yaml"), Project(root)).look()
    assert other.results is None and "another version" in panels(other)["now"]
    scores.write_text("{}")
    read = RunFollower(load_config(root / "steep.yaml"), Project(root)).look()
    assert read.results is not None and read.notes == ()


def test_training_is_followed_step_by_step(root: Path, follower: RunFollower) -> None:
    done = artifact(root, "train-00000001", "raw")
    metrics(done, range(1, 4), 3)
    current = root / ".steep" / "train-00000002"
    metrics(current, range(1, 3), 10)
    write_progress(root, stage="train", tasks=[task("train synthetic", unit="steps")])
    first = follower.look().trainings
    assert [(each.name, each.finished, each.steps) for each in first] == [
        ("raw", True, 3), ("synthetic", False, 10),
    ]  # fmt: skip
    metrics(current, range(3, 6), 10)
    (current / "validation.jsonl").write_text('{"step": 5, "documents": 4.2}\n')
    run = follower.look()
    latest = run.trainings[-1]
    assert [each.step for each in latest.points] == [1, 2, 3, 4, 5]
    assert latest.seconds_left == 10.0
    drawn = panels(run)["training"]
    assert "5 of 10" in drawn and "<svg" in drawn and "synthetic" in drawn
    assert "The latest validation losses" in drawn and "held-out" not in drawn
    assert [*run.as_json()["trainings"][1]["points"]] == [
        {"step": 5, "tokens": 500, "loss": 4.5, "learning_rate": 1e-4}
    ]
    (current / "metrics.jsonl").unlink()  # as a run that resumes from a checkpoint writes it again
    metrics(current, range(1, 3), 10)
    assert len(follower.look().trainings[-1].points) == 2


def test_hostile_texts_stay_text(root: Path, follower: RunFollower) -> None:
    record(root, HOSTILE)
    record(root, "", first=1, error=HOSTILE, finish_reason="error")
    write_progress(root, tasks=[task(HOSTILE, phase=HOSTILE, facts={HOSTILE: HOSTILE})] * 2)
    line = {"time": HOSTILE, "level": HOSTILE, "message": HOSTILE}
    (root / RUN / "log.jsonl").write_text(f"{json.dumps(line)}\nno json\n[1]\n")
    run = follower.look()
    page = live_page(run)
    assert page.count("<script>") == 1 and "<img" not in page and "</p></main>" not in page
    assert page.count("&lt;script&gt;alert(1)") >= 8
    assert len(run.log) == 1 and len(run.texts) == 1 and len(run.failures) == 1
    json.dumps(run.as_json())


def test_rates_and_costs_are_those_of_the_project(root: Path, follower: RunFollower) -> None:
    record(root, "one")
    assert follower.look().calls_per_s is None  # before the second look
    record(root, "two", "three", first=1)
    run = follower.look()
    assert run.calls_per_s is not None and run.calls_per_s > 0
    assert (run.calls[0].counts, run.calls[0].known_usd) == ({"done": 3}, 1.5)
    assert run.texts[0].call_id in {call(1).id, call(2).id}
    write_progress(root)
    drawn = panels(follower.look())["now"]
    assert "$1.50" in drawn and "cost of this command" in drawn


def test_a_file_of_lines_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    tail = JsonlTail(path)
    assert tail.look() == ([], True)
    path.write_text('{"a": 1}\n{"a": ')
    assert tail.look() == ([{"a": 1}], False)
    with path.open("a") as file:
        file.write("2}\n")
    assert tail.look() == ([{"a": 2}], True)
    other = tmp_path / "other"
    other.write_text('{"a": 3}\n{"a": 4}\n{"a": 5}\n')
    other.replace(path)
    assert tail.look() == ([{"a": 3}, {"a": 4}, {"a": 5}], False)
    path.unlink()
    assert tail.look() == ([], False)
    path.write_text("".join(f'{{"a": {number}}}\n' for number in range(100)))
    rows, _ = JsonlTail(path, last_bytes=40).look()
    assert rows and rows[-1] == {"a": 99} and len(rows) < 5
