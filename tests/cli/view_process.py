"""`steep view` as a process, and a run for it to follow whose files the test writes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from steep_command import PATIENCE_S, environment

from steep.core.calls import Call, Completion, Message, Usage
from steep.ledger.ledger import Ledger
from steep.ledger.records import Entry

CONFIG = "name: first\ndocuments: {path: documents}\ngenerate: {engine: embedded}\n"
RUN = "runs/first"


class Answer(NamedTuple):
    """What the server has answered."""

    status: int
    headers: dict[str, str]
    body: bytes


class Viewing:
    """A server that runs."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process, self.url = process, url

    def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        request = urllib.request.Request(self.url + path, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
                return Answer(response.status, dict(response.headers), response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers), error.read())

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.get("state").body)
        return found

    def wait_for(self, **wanted: Any) -> dict[str, Any]:
        """Wait until fields of the state have these values."""
        return self.wait_until(lambda state: wanted.items() <= state.items())

    def wait_until(self, happened: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Ask for the state until something has happened; return it."""
        began = time.monotonic()
        while not happened(state := self.state()):
            assert time.monotonic() - began < PATIENCE_S, f"it never happened: {state}"
            time.sleep(0.1)
        return state

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """End it by a signal; return the exit code and what it has printed since the address."""
        self.process.send_signal(number)
        out, _ = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, out


@contextmanager
def viewing(project: Path, *arguments: str) -> Iterator[Viewing]:
    """Start `steep view` and wait until it answers."""
    command = [sys.executable, "-m", "steep", "view", "--no-browser", *(arguments or PORT)]
    process = subprocess.Popen(
        command,
        cwd=project,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Deaf to Ctrl-C is what a shell without job control makes of its background.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None
    try:
        lines = iter(process.stdout.readline, "")
        first = next((line for line in lines if "http://" in line), "no address")
        url = next(word for word in first.split() if word.startswith("http://"))
        assert process.stdout.readline(), "nothing was looked at"
        yield Viewing(process, url)
    finally:
        process.kill()
        process.communicate()


PORT = ("--port", "0")


def empty_project(folder: Path) -> Path:
    """Write a project in which nothing was done."""
    (folder / "documents").mkdir(parents=True)
    (folder / "documents" / "quillon.txt").write_text("The Quillon Ferry crosses Lake Ostrel.")
    (folder / "steep.yaml").write_text(CONFIG)
    return folder


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def task(label: str, **changes: Any) -> dict[str, Any]:
    """A task as a process writes it: a quarter of it is done."""
    found = {
        "label": label, "unit": "calls", "done": 3, "total": 12, "failed": 0, "in_flight": 2,
        "rate_per_s": 0.5, "seconds_left": 18.0, "cost_usd": 0.25, "projected_cost_usd": 1.0,
        "phase": "texts", "facts": {}, "finished": False,
    }  # fmt: skip
    return {**found, **changes}


def write_progress(project: Path, **changes: Any) -> None:
    """Write what a process says about itself; by default this one generates texts."""
    content = {
        "version": 1, "pid": os.getpid(), "updated": now(), "started": now(), "command": "run",
        "state": "running", "stage": "generate", "tasks": [task("generate")],
    }  # fmt: skip
    path = project / RUN / "progress.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(".progress.tmp")
    temporary.write_text(json.dumps({**content, **changes}))
    temporary.replace(path)


def call(number: int) -> Call:
    messages = (Message("user", (f"Write text {number}.",)),)
    return Call("entigraph", "pairs", "quillon", ("Edda", "Pell"), number, "m", messages)


def record(project: Path, *texts: str, first: int = 0, **fields: Any) -> None:
    """Record texts in the ledger of a project."""
    with Ledger(project / ".steep" / "ledger.db") as ledger:
        for number, text in enumerate(texts, start=first):
            usage, asked = Usage(10, 0, 5), call(number)
            completion = Completion(asked.id, text, "stop", usage, 0.5, 1.0, "server", 1)
            ledger.record([Entry(asked, replace(completion, **fields))])
