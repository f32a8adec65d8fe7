"""The storm: every kind of accident at once, and `kill -9` at twenty-five random moments.

Nothing is lost, nothing that was recorded is sent again, and the texts are those of a run in fair
weather. What a kill can cost is what was in flight: answers on their way, paid for and not yet
written down, are paid for again. So the bound is CONCURRENCY answers a kill, 200 in all.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import storm_worker
from forked import Forked, ForkServer
from toy import view_of

from steep.core.calls import STATUSES, Call
from steep.generation.progress import GenerationReport
from steep.generation.scheduler import generate
from steep.ledger.endpoint_worker import EndpointWorker, RetryPolicy
from steep.ledger.ledger import Ledger
from steep.llm.dialect import Dialect
from steep.llm.openai import OpenAIClient
from steep.llm.openai_wire import request_bytes
from steep.testing.script import Behaviour, Script, request_hash
from steep.testing.scripted_server import ScriptedServer

pytestmark = pytest.mark.slow

pytest_plugins = ["fork_fixtures"]

KILLS = 25
PATIENCE_S = 60.0
FAIR = Behaviour(truncated=0.03)  # how an answer ends is not an accident but part of the answer
STORM = Behaviour(
    rate_limited=0.2,
    server_error=0.05,
    reset=0.02,
    hang=0.01,
    invalid_json=0.01,
    truncated=0.03,
    delay_s=0.005,
)


def wait_until(happened: Callable[[], object]) -> None:
    began = time.monotonic()
    while not happened():
        assert time.monotonic() - began < PATIENCE_S, "it never happened"
        time.sleep(0.001)


def kill_at_a_random_moment(
    process: Forked, server: ScriptedServer, rng: random.Random, most: int
) -> int:
    """After up to `most` more answers and some milliseconds, or while it is still getting ready."""
    if rng.random() < 0.2:
        time.sleep(rng.uniform(0.0, 0.05))
    else:
        enough = server.completed.total() + rng.randint(1, most)
        wait_until(lambda: server.completed.total() >= enough)
        time.sleep(rng.uniform(0.0, 0.01))
    return process.kill()


def texts(path: Path) -> dict[str, tuple[str, str]]:
    """How the planned calls ended, and their texts, by the hash of their request."""
    with Ledger(path, read_only=True) as ledger:
        return {
            request_hash(json.loads(request_bytes(call, Dialect()))): (record.status, record.text)
            for call, record in view_of(storm_worker.DOCUMENTS, storm_worker.RECIPE, ledger).walk()
            if record is not None
        }


def check_sum(path: Path, statuses: Counter[str]) -> None:
    """The columns, which are summed by place, match the calls that are found one by one."""
    with Ledger(path, read_only=True) as ledger:
        counts = view_of(storm_worker.DOCUMENTS, storm_worker.RECIPE, ledger).totals().counts
    assert counts["to_do"] == counts["planned"] - statuses.total()
    assert {name: counts[name] for name in STATUSES} == {name: statuses[name] for name in STATUSES}


def check_ledger(path: Path, calls: int) -> None:
    """Each planned call once, in the right column, and in one place of the plan."""
    with Ledger(path, read_only=True) as ledger:
        found = view_of(storm_worker.DOCUMENTS, storm_worker.RECIPE, ledger).totals()
        assert (found.planned, found.failed, found.to_do) == (calls, 0, 0)
        assert found.done + found.truncated == calls
        assert found.done > found.truncated > 0
        ask = ledger.connection.execute
        assert ask("SELECT count(*), count(DISTINCT id) FROM calls").fetchone() == (calls, calls)
        prepared = ask("SELECT count(*) FROM calls WHERE stage = 'entities'").fetchone()[0]
        query = "SELECT count(*), count(DISTINCT call_id) FROM slots"  # entities have no place
        assert ask(query).fetchone() == (calls - prepared, calls - prepared)
        assert ask("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_storm_with_twenty_five_kills_loses_and_repeats_nothing(
    tmp_path: Path, forks: ForkServer
) -> None:
    calm, path = tmp_path / "calm.db", tmp_path / "storm.db"
    with ScriptedServer(Script(5, FAIR)) as server:
        asyncio.run(storm_worker.run(server.base_url, calm))
        calls = len(server.completed)
        assert server.completed.total() == calls
    undisturbed, rng, most = texts(calm), random.Random(11), calls // (KILLS + 3)

    requests_when_recorded: dict[str, int] = {}
    with ScriptedServer(Script(5, STORM)) as server:
        for _ in range(KILLS):
            process = forks.start("storm_worker", server.base_url, path)
            assert kill_at_a_random_moment(process, server, rng, most) == -signal.SIGKILL
            if path.exists():
                recorded = texts(path)
                check_sum(path, Counter(status for status, _ in recorded.values()))
                for request in recorded:
                    requests_when_recorded.setdefault(request, server.requests[request])
        assert 0 < len(requests_when_recorded) < calls
        assert forks.start("storm_worker", server.base_url, path).wait() == 0
        for request, count in requests_when_recorded.items():
            assert server.requests[request] == count, "a recorded call was sent again"
        assert server.completed.keys() == undisturbed.keys()
        paid_twice = server.completed.total() - calls
        accidents = server.accidents

    assert texts(path) == undisturbed
    check_ledger(calm, calls)
    check_ledger(path, calls)
    assert paid_twice <= KILLS * storm_worker.CONCURRENCY
    kinds = {"rate_limited", "server_error", "reset", "hang", "invalid_json"}
    assert accidents.keys() == kinds, accidents


def test_an_endpoint_with_room_for_six_gets_about_six_at_once(tmp_path: Path) -> None:
    async def run(base_url: str) -> tuple[GenerationReport, EndpointWorker[Call]]:
        client = OpenAIClient(base_url, concurrency=32)
        worker = EndpointWorker(client, RetryPolicy(max_attempts=2, total_s=60.0, pause_s=0.005))
        with Ledger(tmp_path / "ledger.db") as ledger:
            documents, recipe = storm_worker.DOCUMENTS[:12], storm_worker.RECIPE
            try:
                return await generate(view_of(documents, recipe, ledger), [worker]), worker
            finally:
                await client.close()

    with ScriptedServer(Script(5, Behaviour(busy_above=6, delay_s=0.04))) as server:
        report, worker = asyncio.run(run(server.base_url))
        refusals = server.accidents["busy"]
        assert server.completed.total() == report.totals.planned == report.totals.done > 300
    assert 0 < refusals < report.totals.planned / 4  # 32 at once would be refused 4 times of 5
    assert report.statistics.overloads == refusals
    assert 3 <= worker.concurrency.limit <= 12
