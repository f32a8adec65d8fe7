"""The panel of a real command on a terminal, plain lines elsewhere, and `progress.json`."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from small_project import pairs, settle, write_project
from steep_command import PATIENCE_S, Steep, environment, wait_until

from steep.testing.script import Behaviour, Script
from steep.testing.scripted_server import ScriptedServer
from terminal_screen import screen_of

pytest_plugins = ["command_fixtures"]


@pytest.fixture(scope="module")
def slow_server() -> Iterator[ScriptedServer]:
    with ScriptedServer(Script(behaviour=Behaviour(delay_s=0.3))) as scripted:
        yield scripted


@pytest.fixture
def slow(tmp_path: Path, slow_server: ScriptedServer, tiny_directory: Path) -> Path:
    """A project whose generation takes some 20 seconds."""
    config = write_project(tmp_path / "project", slow_server.base_url, tiny_directory)
    settle(config, generate=pairs("all", 60))
    return config.parent


def progress_of(project: Path) -> dict[str, Any]:
    (path,) = project.glob("runs/*/progress.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def obey_ctrl_c() -> None:
    """Do as on a terminal, also where the tests run in the background of a script."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class OnTerminal:
    """A command on a terminal of 80 columns and 24 rows."""

    def __init__(self, *arguments: str, cwd: Path) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "steep", *arguments],
            cwd=cwd,
            env=environment(TERM="xterm-256color", PYTHONIOENCODING="utf-8"),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=obey_ctrl_c,
        )
        os.close(slave)
        self._bytes = b""

    @property
    def written(self) -> str:
        return self._bytes.decode(errors="replace")

    def read_until(self, happened: Callable[[str], bool]) -> None:
        """Read what the command writes; returns at its end, too."""
        began = time.monotonic()
        while not happened(self.written):
            assert time.monotonic() - began < PATIENCE_S, self.written
            if not select.select([self._master], [], [], 1.0)[0]:
                continue
            try:
                piece = os.read(self._master, 65536)
            except OSError:  # the other side is closed
                piece = b""
            if not piece:
                return
            self._bytes += piece

    def end(self) -> int:
        self.read_until(lambda written: False)
        os.close(self._master)
        return self.process.wait(PATIENCE_S)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_a_terminal_has_one_panel_and_is_clean_afterwards(
    slow: Path, ending: signal.Signals
) -> None:
    command = OnTerminal("generate", "--yes", cwd=slow)
    command.read_until(lambda written: written.count("generate (texts)") > 12)
    lines = screen_of(command.written)
    panel = [line for line in lines if line.startswith("generate (texts)  ━")]
    command.process.send_signal(ending)
    code = command.end()
    assert len(panel) == 1 and "%" in panel[0], "each panel replaces the one before"
    assert "\x1b[?25" not in command.written, "the cursor is never hidden"
    lines = screen_of(command.written)
    assert max(map(len, lines)) < 80 and lines[-1] == "", "the cursor is at the start of a line"
    text = "\n".join(lines)
    assert "generate: http://127.0.0.1:" in text and text.count("documents: done in") == 1
    if ending == signal.SIGKILL:
        assert code == -signal.SIGKILL and progress_of(slow)["state"] == "running"
        return
    assert code == 130
    assert "━" not in text, "the panel is gone"
    assert lines[-2] == "steep: interrupted; run the same command again to resume"
    assert lines[-3].startswith("generate: in this run, ") and "cost $" in lines[-3]
    found = progress_of(slow)
    assert found["state"] == "stopped" and found["tasks"][-1]["finished"]


def test_a_pipe_gets_plain_lines_and_the_file_the_end(steep: Steep, project: Path) -> None:
    ended = steep("generate", cwd=project)
    assert ended.code == 0, ended.err
    assert "\x1b" not in ended.err and "\r" not in ended.err
    (last,) = (line for line in ended.err.splitlines() if ": in this run, 18 calls, " in line)
    assert " tokens written, cost $" in last
    found = progress_of(project)
    assert (found["command"], found["stage"], found["state"]) == ("generate", "generate", "done")
    task = found["tasks"][-1]
    assert (task["label"], task["unit"], task["finished"]) == ("generate", "calls", True)
    assert task["done"] == task["total"] == 15 and task["cost_usd"] > 0


def test_the_file_follows_a_run_and_stays_when_it_is_killed(steep: Steep, slow: Path) -> None:
    running = steep.start("generate", cwd=slow)

    def writes() -> bool:
        found = [json.loads(path.read_text()) for path in slow.glob("runs/*/progress.json")]
        return any(each["done"] > 2 for one in found for each in one["tasks"][-1:])

    try:
        wait_until(writes)
    finally:
        ended = running.kill()
    assert ended.code == -signal.SIGKILL, ended.err
    found = progress_of(slow)
    assert (found["state"], found["pid"]) == ("running", running.pid)
    task = found["tasks"][-1]
    assert task["in_flight"] and not task["finished"]
    assert task["projected_cost_usd"] > task["cost_usd"] > 0
    assert task["phase"] == "texts" and task["facts"]["latest"]


def test_an_error_ends_the_file(steep: Steep, project: Path) -> None:
    ended = steep("generate", "--set", "documents.path=nowhere", cwd=project)
    assert ended.code == 2
    assert progress_of(project)["state"] == "failed"
