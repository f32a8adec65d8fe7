"""`generate.stop_when`: a recipe ends when its answers repeat what is known, also after a kill."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from small_project import settle
from steep_command import Steep, wait_until

from steep.testing.script import Behaviour, Script
from steep.testing.scripted_server import ScriptedServer

pytest_plugins = ["command_fixtures"]

PLANNED = 3 * 3 * 80  # three prompts on three documents of a few sentences, which are quoted
SETTINGS = {
    "recipes": {"rephrase": {"samples": 80}},
    "stop_when": {"new_information": 0.2, "calls": 12},
}


def manifest_of(project: Path) -> dict[str, Any]:
    (path,) = project.glob(".steep/generate-*/manifest.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def has_answered(server: ScriptedServer, answers: int) -> bool:
    return server.completed.total() >= answers


def check(project: Path, server: ScriptedServer) -> int:
    """Check that the generation has ended early; return the number of its calls."""
    made = manifest_of(project)
    assert made["ended"] == "stop_when" and made["exhausted"] == ["rephrase"]
    counts = made["counts"]
    assert counts["planned"] == counts["done"] < PLANNED and counts["to_do"] == 0
    assert counts["planned"] + made["beyond_target"] == PLANNED
    first, *others = ((new / words) for _, words, new in made["new_information"]["rephrase"])
    assert any(each < 0.2 * first for each in others)
    assert server.completed.total() == len(server.completed) == counts["done"]
    return int(counts["done"])


def test_a_run_ends_when_nothing_is_new_and_stays_ended(project: Path, steep: Steep) -> None:
    with ScriptedServer() as server:
        settle(project / "steep.yaml", generate={"base_url": server.base_url, **SETTINGS})
        ended = steep("generate", cwd=project)
        assert ended.code == 0, ended.err
        done = check(project, server)
        beyond = PLANNED - done
        assert f"; {beyond} calls beyond generate.stop_when not needed" in ended.err
        status = steep("status", cwd=project).out
        assert f"{beyond} beyond generate.stop_when are not needed" in status
        assert "new 4-grams per word in its first 12 answers" in status
        assert "; ended by generate.stop_when" in " ".join(status.split())
        again = steep("generate", cwd=project)
        assert again.code == 0 and "generate: done before" in again.err
        assert server.requests.total() == done
        # Without the limit, the rest is written.
        everything = steep("generate", "--set", "generate.stop_when=null", cwd=project)
        assert everything.code == 0 and server.completed.total() == PLANNED


def test_a_killed_run_ends_as_if_it_had_not_been(project: Path, steep: Steep) -> None:
    with ScriptedServer() as server:
        settle(project / "steep.yaml", generate={"base_url": server.base_url, **SETTINGS})
        assert steep("generate", cwd=project).code == 0
        undisturbed = check(project, server)
    for path in project.glob(".steep/*"):
        if path.is_file():
            path.unlink()
    (manifest,) = project.glob(".steep/generate-*/manifest.json")
    manifest.unlink()
    with ScriptedServer(Script(behaviour=Behaviour(delay_s=0.05))) as server:
        settle(project / "steep.yaml", generate={"base_url": server.base_url})
        for answers in (5, 15, 30):
            command = steep.start("generate", cwd=project)
            wait_until(partial(has_answered, server, answers))
            command.kill()
        server.script = Script()
        assert steep("generate", cwd=project).code == 0
        made = manifest_of(project)
        assert made["ended"] == "stop_when" and made["counts"]["to_do"] == 0
        # Of each kill, what was in flight was answered again; it ends within two windows.
        assert abs(made["counts"]["done"] - undisturbed) <= 2 * 12
        assert made["counts"]["done"] + made["beyond_target"] == PLANNED
