"""`kill -9` at ten random moments: nothing is lost or paid for twice, no text changes."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import time
from pathlib import Path

import kill_worker
from forked import Forked, ForkServer
from toy import TINY, view_of

from steep.ledger.ledger import Ledger
from steep.llm.dialect import Dialect
from steep.llm.openai_wire import request_bytes
from steep.testing.script import Behaviour, Script, request_hash
from steep.testing.scripted_server import ScriptedServer

pytest_plugins = ["fork_fixtures"]

KILLS = 10
TROUBLED = Behaviour(
    rate_limited=0.05,
    server_error=0.05,
    cut_off=0.05,
    disconnected=0.05,
    truncated=0.1,
    refusing=0.1,
    delay_s=0.01,
)


def recorded(path: Path) -> dict[str, tuple[str, str]]:
    """How the recorded calls ended, and their texts, by the hash of their request."""
    with Ledger(path, read_only=True) as ledger:
        return {
            request_hash(json.loads(request_bytes(call, Dialect()))): (record.status, record.text)
            for call, record in view_of(TINY, kill_worker.RECIPE, ledger).walk()
            if record is not None
        }


def kill_after(process: Forked, server: ScriptedServer, rng: random.Random) -> int:
    """Kill the process once the server has answered some more calls; return its exit code."""
    enough = server.completed.total() + rng.randint(1, 9)
    while server.completed.total() < enough and process.running():
        time.sleep(0.001)
    time.sleep(rng.uniform(0.0, 0.015))
    return process.kill()


def test_a_generation_survives_kill_9_at_ten_moments(tmp_path: Path, forks: ForkServer) -> None:
    undisturbed, disturbed = tmp_path / "undisturbed.db", tmp_path / "disturbed.db"
    with ScriptedServer(Script(5, TROUBLED)) as server:
        asyncio.run(kill_worker.run(server.base_url, undisturbed))
        calls = len(server.completed)
        assert server.completed.total() == calls
    rng = random.Random(11)
    requests_when_recorded: dict[str, int] = {}
    with ScriptedServer(Script(5, TROUBLED)) as server:
        for _ in range(KILLS):
            process = forks.start("kill_worker", server.base_url, disturbed)
            assert kill_after(process, server, rng) == -signal.SIGKILL
            for request in recorded(disturbed):
                requests_when_recorded.setdefault(request, server.requests[request])
        assert 0 < len(requests_when_recorded) < calls
        assert forks.start("kill_worker", server.base_url, disturbed).wait() == 0
        for request, count in requests_when_recorded.items():
            assert server.requests[request] == count, "a recorded call was sent again"
        repeated = server.completed.total() - calls
    assert recorded(disturbed) == recorded(undisturbed)
    assert len(server.completed) == calls
    assert repeated <= KILLS * kill_worker.CONCURRENCY
