"""`kill -9` at ten moments of the whole way: it goes on, buys nothing twice, and ends the same.

Three moments lie among the calls, after as many answers of a slow server as chance says. Seven lie
in the other stages, just before a change to their files, and chance says which: between writing a
checkpoint and renaming it, between a table and its manifest, ...
"""

from __future__ import annotations

import random
import re
import shutil
import signal
from pathlib import Path

import pytest
from small_project import EVERY_STEP, pairs, results, write_project
from steep_command import Steep, wait_until

from steep.testing.script import Behaviour, Script
from steep.testing.scripted_server import ScriptedServer

pytestmark = pytest.mark.slow

pytest_plugins = ["command_fixtures"]

SLOW = Script(7, Behaviour(delay_s=0.1, rate_limited=0.05, disconnected=0.05, truncated=0.1))
KILLS_AMONG_CALLS = 3
CONCURRENCY = 4
ONE_STEP = (
    "--set=generate.recipes={}",
    "--set=train.arms={raw: [documents]}",
    "--set=train.tokens=256",
)
STAGES = ("corpus", "tokenize", "train", "train", "score", "evaluate")
PLACES = (*(f"/.steep/{stage}-" for stage in STAGES), "/runs/default/.")


def start(project: Path, tiny_directory: Path, base_url: str) -> Path:
    generate = {
        "max_attempts": 10,
        **pairs(12),
        "concurrency": CONCURRENCY,
    }
    train = {"checkpoint_minutes": EVERY_STEP}
    return write_project(project, base_url, tiny_directory, generate=generate, train=train).parent


def kill_among_calls(steep: Steep, project: Path, server: ScriptedServer, answers: int) -> int:
    """Run until the server has given that many more answers, then kill."""
    enough = server.completed.total() + answers
    command = steep.start("run", cwd=project)
    wait_until(lambda: server.completed.total() >= enough)
    return command.kill().code


def test_a_run_survives_kill_9_at_ten_moments(
    tmp_path: Path, steep: Steep, tiny_directory: Path
) -> None:
    log = tmp_path / "changes"
    with ScriptedServer(SLOW) as server:
        calm = start(tmp_path / "calm", tiny_directory, server.base_url)
        live = {"part": str(calm), "number": 0, "log": str(log)}
        ended = steep.start("run", cwd=calm, die_at=live).wait()
        assert ended.code == 0, ended.err
        calls = len(server.completed)
        assert server.completed.total() == calls
    changes, rng = log.read_text().splitlines(), random.Random(5)

    with ScriptedServer(SLOW) as server:
        project = start(tmp_path / "killed", tiny_directory, server.base_url)
        for _ in range(KILLS_AMONG_CALLS):
            answers = rng.randint(3, calls // KILLS_AMONG_CALLS - CONCURRENCY)
            assert kill_among_calls(steep, project, server, answers) == -signal.SIGKILL
        assert len(server.completed) < calls
        for place in PLACES:
            moment = rng.randint(1, sum(place in change for change in changes) // 2)
            die_at = {"part": place, "number": moment, "log": None}
            ended = steep.start("run", cwd=project, die_at=die_at).wait()
            assert ended.code == -signal.SIGKILL, (place, moment, ended.err)
            assert not (project / "runs/default/report.html").exists()
        last = steep("run", cwd=project)
        assert last.code == 0, last.err
        assert len(server.completed) == calls
        repeated = server.completed.total() - calls
    assert results(project) == results(calm)
    assert repeated <= KILLS_AMONG_CALLS * CONCURRENCY
    assert not [*project.rglob(".*.tmp"), *project.rglob("checkpoint-*")]


def test_a_model_is_not_trained_again_once_it_is_exported(
    tmp_path: Path, steep: Steep, project: Path
) -> None:
    log = tmp_path / "changes"
    train = ["train", *ONE_STEP]
    part = "/.steep/train-"
    live = {"part": part, "number": 0, "log": str(log)}
    assert steep.start(*train, cwd=project, die_at=live).wait().code == 0
    changes = log.read_text().splitlines()
    exported = next(
        i for i, line in enumerate(changes, 1) if re.search(r"rename .*/\.model\.", line)
    )
    finished = next(
        i for i, line in enumerate(changes, 1) if re.search(r"rename .*/\.manifest", line)
    )
    (trained,) = project.glob(".steep/train-*")
    # When nothing, and when half of the last checkpoint is removed; when only the manifest lacks.
    for moment in (exported + 1, exported + 2, finished):
        shutil.rmtree(trained)
        die_at = {"part": part, "number": moment, "log": None}
        killed = steep.start(*train, cwd=project, die_at=die_at).wait()
        assert killed.code == -signal.SIGKILL, killed.err
        metrics = (trained / "metrics.jsonl").read_text()
        again = steep(*train, cwd=project)
        assert again.code == 0, again.err
        assert (trained / "metrics.jsonl").read_text() == metrics
        assert not [*trained.glob("checkpoint-*")]
