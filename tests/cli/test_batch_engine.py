"""`steep generate` by a provider's batches: it may end before they do; another engine may go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from small_project import settle
from steep_command import Steep

from scripted_batches import BatchBehaviour, BatchServer

pytest_plugins = ["command_fixtures"]

CALLS = 18  # of the plan: three openings and five pairs each


def status(steep: Steep, project: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(steep("status", "--json", cwd=project).out)
    return found


def test_batches_are_submitted_collected_and_left_for_the_other_engine(
    project: Path, steep: Steep
) -> None:
    with BatchServer() as server:
        server.batches.behaviour = BatchBehaviour(polls=2)
        by_batch = {"engine": "openai-batch", "base_url": server.base_url, "batch_poll_s": 0.01}
        settle(project / "steep.yaml", generate=by_batch)
        submitted = steep("generate", "--no-wait", cwd=project)
        assert submitted.code == 0, submitted.err
        found = status(steep, project)
        assert (found["plan"]["to_do"], found["submitted"]) == (3, 3)
        assert len(found["batches"]) == 1
        waited = steep("generate", "--set", "generate.recipes.entigraph.pairs=2", cwd=project)
        assert waited.code == 0, waited.err
        found = status(steep, project)
        assert found["batches"] == []
        assert found["ledger"]["calls"] == 9
        half = found["ledger"]["cost_usd"]
        assert steep("generate", "--no-wait", cwd=project).code == 0
        settle(project / "steep.yaml", generate={"engine": "openai"})
        for _ in range(4):  # what waits at the provider is left to it, and collected when it ends
            ended = steep("generate", cwd=project)
            assert ended.code == 0, ended.err
            if not status(steep, project)["batches"]:
                break
        found = status(steep, project)
        assert found["plan"]["done"] == found["plan"]["planned"] == CALLS
        assert server.completed.total() == len(server.completed) == CALLS
        assert 0 < half < found["ledger"]["cost_usd"]


def test_open_batches_can_be_ended(project: Path, steep: Steep) -> None:
    with BatchServer() as server:
        server.batches.behaviour = BatchBehaviour(polls=1000)
        by_batch = {"engine": "openai-batch", "base_url": server.base_url, "batch_poll_s": 0.01}
        settle(project / "steep.yaml", generate=by_batch)
        assert steep("generate", "--no-wait", cwd=project).code == 0
        cancelled = steep("generate", "--cancel-batches", cwd=project)
        assert cancelled.code == 0, cancelled.err
        assert cancelled.out.startswith("requested cancellation of 1 batch")
        settle(project / "steep.yaml", generate={"engine": "openai"})
        assert steep("generate", cwd=project).code == 0
        assert status(steep, project)["plan"]["done"] == CALLS
