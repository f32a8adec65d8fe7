"""Ctrl-C, and two runs at once: nothing is lost, nothing is bought or made twice."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path

from small_project import settle
from steep_command import Steep, real_steep, wait_until

from steep.testing.script import Behaviour, Script
from steep.testing.scripted_server import ScriptedServer

pytest_plugins = ["command_fixtures"]

SLOW = Script(behaviour=Behaviour(delay_s=0.3))


def test_ctrl_c_waits_for_what_is_paid_for_and_says_how_to_go_on(
    project: Path, steep: Steep
) -> None:
    with ScriptedServer(SLOW) as server:
        settle(project / "steep.yaml", generate={"base_url": server.base_url})
        command = steep.start("run", cwd=project)
        wait_until(lambda: server.requests.total() > server.completed.total() >= 4)
        os.kill(command.pid, signal.SIGINT)
        ended = command.wait()
        assert ended.code == 130, ended.err
        assert re.search(r"waiting for \d+ calls? in flight .Ctrl-C again drops them", ended.err)
        assert ended.err.endswith("interrupted; run the same command again to resume\n")
        assert "Traceback" not in ended.err
        completed = server.completed.total()
        status = json.loads(steep("status", "--json", cwd=project).out)
        assert status["plan"]["done"] == completed < status["plan"]["planned"]
        server.script = Script()
        assert steep("corpus", cwd=project).code == 0
        assert server.completed.total() == len(server.completed) == 18
    (manifest,) = (project / ".steep").glob("generate-*/manifest.json")
    made = json.loads(manifest.read_text())
    # Before Ctrl-C, at least two rounds of answers took 0.3 s each.
    assert made["wall_s"] >= made["busy_s"] > 0.6


def test_a_second_run_at_once_is_refused(project: Path, steep: Steep) -> None:
    with ScriptedServer(Script(behaviour=Behaviour(delay_s=60))) as server:
        settle(project / "steep.yaml", generate={"base_url": server.base_url})
        first = steep.start("generate", cwd=project)
        wait_until(lambda: server.requests)
        refused = real_steep("generate", cwd=project)
        watched = real_steep("status", "--json", cwd=project)
        first.kill()
    assert refused.code == 2, refused.err
    assert "Another process is writing this ledger." in refused.err
    assert f"process {first.pid}" in refused.err
    assert json.loads(watched.out)["plan"]["to_do"] == 3


def test_a_second_ctrl_c_does_not_wait(project: Path, steep: Steep) -> None:
    with ScriptedServer(Script(behaviour=Behaviour(delay_s=60))) as server:
        settle(project / "steep.yaml", generate={"base_url": server.base_url})
        command = steep.start("generate", cwd=project)
        wait_until(lambda: server.requests)
        os.kill(command.pid, signal.SIGINT)
        wait_until(lambda: "Ctrl-C again" in (command.folder / "stderr").read_text())
        os.kill(command.pid, signal.SIGINT)
        began = time.monotonic()
        ended = command.wait()
        assert time.monotonic() - began < 30
        assert ended.code == 130, ended.err
        assert "Traceback" not in ended.err
        assert "1 call sent and not waited for" in ended.err
        server.script = Script()
        assert steep("generate", cwd=project).code == 0
        assert json.loads(steep("status", "--json", cwd=project).out)["plan"]["done"] == 18
