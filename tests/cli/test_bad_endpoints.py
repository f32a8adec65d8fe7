"""Endpoints that misbehave: every call in the right column, the right words, and nothing lost.

What concerns every call (key, model, money, no endpoint) stops the run, before the second call if
it is so from the start; what concerns one call stops that call alone. Either way the same command
goes on when the endpoint has come to its senses.
"""

from __future__ import annotations

import ast
import json
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from small_project import settle
from steep_command import Ended, Steep, real_steep

import steep as package
from steep.testing.script import Behaviour, Script
from steep.testing.scripted_server import ScriptedServer

pytest_plugins = ["command_fixtures"]

DOCUMENTS, PLANNED = 3, 18
YEAR_S = 365 * 86_400


@pytest.fixture
def endpoint(project: Path) -> Iterator[ScriptedServer]:
    """An endpoint of the project's own, whose behaviour a test changes as it likes."""
    with ScriptedServer() as server:
        generate = {"base_url": server.base_url, "max_attempts": 2, "salvage_rounds": 0}
        settle(project / "steep.yaml", generate=generate)
        yield server


def behave(server: ScriptedServer, **behaviour: Any) -> None:
    server.script = Script(7, Behaviour(**behaviour))


def columns(steep: Steep, project: Path) -> dict[str, int]:
    """The columns of `steep status` that are not empty; the sum must match."""
    found = json.loads(steep("status", "--json", cwd=project).out)["plan"]
    planned = found.pop("planned")
    assert planned == sum(found.values())
    return {name: number for name, number in found.items() if number}


def assert_stopped(ended: Ended, *said: str) -> None:
    """The run gave up with one message that says all this."""
    assert ended.code == 2, (ended.code, ended.err)
    message = ended.err.partition("steep: ")[2]
    for each in said:
        assert each in message, (each, ended.err)
    assert "Traceback" not in ended.err


def assert_whole(steep: Steep, project: Path) -> None:
    """The same command, now that all is well, completes the plan."""
    ended = steep("generate", cwd=project)
    assert ended.code == 0, ended.err
    assert columns(steep, project) == {"done": PLANNED}


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ({"model": "other"}, ("does not know this model", "'scripted'", "generate.model")),
        ({"api_key": "right"}, ("does not accept the key", "HTTP 401", "$STEEP_TEST_KEY")),
        ({"out_of_quota": True}, ("no quota or money left", "the same command again")),
    ],
    ids=["unknown model", "wrong key", "no credit"],
)
def test_what_concerns_every_call_stops_the_run_before_the_second(
    project: Path,
    steep: Steep,
    endpoint: ScriptedServer,
    behaviour: dict[str, Any],
    said: tuple[str, ...],
) -> None:
    settle(project / "steep.yaml", generate={"api_key_env": "STEEP_TEST_KEY"})
    behave(endpoint, **behaviour)
    ended = steep("generate", cwd=project, STEEP_TEST_KEY="sk-wrong-and-secret")
    assert_stopped(ended, *said, endpoint.base_url)
    assert endpoint.requests.total() == 1
    assert columns(steep, project) == {"to_do": DOCUMENTS}
    assert "sk-wrong" not in ended.err
    behave(endpoint)
    settle(project / "steep.yaml", generate={"api_key_env": None})
    assert_whole(steep, project)


@pytest.mark.parametrize("answers", [1, DOCUMENTS, 10])
def test_credit_that_ends_in_mid_run(
    project: Path, steep: Steep, endpoint: ScriptedServer, answers: int
) -> None:
    behave(endpoint, credit_calls=answers, delay_s=0.01)
    ended = steep("generate", cwd=project)
    assert_stopped(ended, "no quota or money left", "top it up", "the same command again")
    assert endpoint.completed.total() == answers
    found = columns(steep, project)
    assert found["done"] == answers and found.keys() == {"done", "to_do"}
    behave(endpoint)
    assert_whole(steep, project)
    assert endpoint.completed.total() == PLANNED, "what was paid was paid again"


def test_a_document_that_exceeds_the_context_fails_alone_and_is_named_with_advice(
    project: Path, steep: Steep, endpoint: ScriptedServer
) -> None:
    long = project / "documents" / "long.md"
    long.write_text("# The Long Log\n\n" + "It rained on the lake. " * 400)
    behave(endpoint, context_tokens=1500)
    ended = steep("generate", cwd=project)
    assert_stopped(ended, "1 of 4 documents exceed", "found:    long", "documents.split_tokens")
    assert "1 of 19 calls failed" in ended.err
    assert columns(steep, project) == {"done": PLANNED, "failed": 1}
    failed = json.loads(steep("status", "--failed", "--json", cwd=project).out)
    (reason,) = failed["reasons"]
    assert reason["reason"].startswith("HTTP 400: This model's maximum context length is 1500 tok")
    call = json.loads(steep("status", "--call", reason["example"], "--json", cwd=project).out)
    assert (call["document_id"], call["attempts"]) == ("long", 1)
    long.unlink()
    assert_whole(steep, project)


@pytest.mark.parametrize("kind", ["cut_off", "reset", "hang"])
def test_an_endpoint_that_never_ends_an_answer_is_said_to_be_gone(
    project: Path, steep: Steep, endpoint: ScriptedServer, kind: str
) -> None:
    settle(project / "steep.yaml", generate={"timeout_s": 0.2})
    behave(endpoint, **{kind: 1.0})
    assert_stopped(steep("generate", cwd=project), "does not answer", "the same command continues")
    assert endpoint.requests.total() == 2  # both of the first call
    assert columns(steep, project) == {"to_do": DOCUMENTS}
    settle(project / "steep.yaml", generate={"timeout_s": 30})
    behave(endpoint)
    assert_whole(steep, project)


def test_answers_that_are_broken_now_and_then_are_asked_for_again(
    project: Path, steep: Steep, endpoint: ScriptedServer
) -> None:
    settle(project / "steep.yaml", generate={"max_attempts": 8})
    kinds = ("cut_off", "disconnected", "reset", "html", "invalid_json")
    behave(endpoint, **dict.fromkeys(kinds, 0.06))
    assert_whole(steep, project)
    assert endpoint.completed.total() == PLANNED
    assert len(endpoint.accidents) >= 3
    assert endpoint.requests.total() == PLANNED + endpoint.accidents.total()


def test_an_endpoint_that_answers_with_web_pages(
    project: Path, steep: Steep, endpoint: ScriptedServer
) -> None:
    extra = [project / "documents" / f"extra-{number}.txt" for number in range(9)]
    for path in extra:
        path.write_text("Joren Pell rowed to Tessel. Edda Varnholt built the Quillon Ferry.\n")
    behave(endpoint, html=1.0)
    ended = steep("generate", cwd=project)
    said = ("completes no call", "malformed reply: ", endpoint.base_url, "the same command")
    assert_stopped(ended, *said)
    assert endpoint.requests.total() == 3 * 2, "three calls are enough to see it"
    assert columns(steep, project) == {"failed": 2, "to_do": DOCUMENTS + len(extra) - 2}
    for path in extra:
        path.unlink()
    behave(endpoint)
    assert_whole(steep, project)


def test_an_endpoint_that_is_not_there(project: Path, steep: Steep) -> None:
    with ScriptedServer() as gone:
        settle(project / "steep.yaml", generate={"base_url": gone.base_url})
    ended = steep("generate", cwd=project)
    assert_stopped(ended, "does not answer", gone.base_url, "start the server")
    assert columns(steep, project) == {"to_do": DOCUMENTS}


def test_an_endpoint_that_dies_in_mid_run(
    project: Path, steep: Steep, endpoint: ScriptedServer
) -> None:
    behave(endpoint, dead_after=6)
    ended = steep("generate", cwd=project)
    assert_stopped(ended, "does not answer", "the same command continues")
    found = columns(steep, project)
    assert found["done"] == endpoint.completed.total() == 6
    # Others were answered while the first lost calls were tried, so those count as failed.
    assert found.pop("failed", 0) <= 2
    assert found.keys() == {"done", "to_do"}
    behave(endpoint)
    assert_whole(steep, project)
    assert endpoint.completed.total() == PLANNED


def in_http(ahead_s: float) -> str:
    """A moment as HTTP writes it."""
    return formatdate(time.time() + ahead_s, usegmt=True)


@pytest.mark.parametrize(
    ("clock_ahead_s", "retry_after"),
    [
        (YEAR_S, in_http(YEAR_S + 1)),  # its clock is a year ahead, or ours behind: wait 1 s
        (0, in_http(-YEAR_S)),
        (0, "soon"),
        (0, "1e999"),
    ],
    ids=["clock ahead", "past", "rubbish", "infinite"],
)
def test_a_wait_that_is_told_oddly_is_bounded(
    project: Path,
    steep: Steep,
    endpoint: ScriptedServer,
    clock_ahead_s: float,
    retry_after: str,
) -> None:
    behave(endpoint, overloaded=0.15, retry_after=retry_after, clock_ahead_s=clock_ahead_s)
    began = time.monotonic()
    assert_whole(steep, project)
    assert endpoint.accidents["overloaded"] > 0
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("retry_after", ["31536000", in_http(YEAR_S)], ids=["seconds", "date"])
def test_a_wait_of_a_year_is_not_waited_for(
    project: Path, steep: Steep, endpoint: ScriptedServer, retry_after: str
) -> None:
    behave(endpoint, rate_limited=1.0, retry_after=retry_after)
    ended = steep("generate", cwd=project)
    assert_stopped(ended, "asks for a long pause", "generate.retry_minutes", "run the same")
    assert endpoint.requests.total() == 1
    assert columns(steep, project) == {"to_do": DOCUMENTS}


JUMPING_CLOCK = """
import time
_time, _calls = time.time, 0
def jumping():
    global _calls
    _calls += 1
    return _time() + (31_536_000 if _calls // 5 % 2 else 0)
time.time = jumping
"""


def test_a_wall_clock_that_jumps_to_and_fro_by_a_year(
    project: Path, steep: Steep, endpoint: ScriptedServer, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(JUMPING_CLOCK)
    behave(endpoint, rate_limited=0.15, retry_after=in_http(1), delay_s=0.01)
    settle(project / "steep.yaml", generate={"timeout_s": 5, "requests_per_minute": 6000})
    began = time.monotonic()
    path = f"{tmp_path}:{Path(package.__file__).parent.parent}"
    ended = real_steep("generate", cwd=project, PYTHONPATH=path)
    assert ended.code == 0, ended.err
    assert columns(steep, project) == {"done": PLANNED}
    assert time.monotonic() - began < 60


ROOMS = [Path(package.__file__).parent / room for room in ("generation", "llm")]


@pytest.mark.parametrize("path", sorted(p for room in ROOMS for p in room.glob("*.py")), ids=str)
def test_no_interval_is_measured_with_the_wall_clock(path: Path) -> None:
    """The wall clock only stamps: `datetime.now(UTC).isoformat(...)`; `time.time` is not used."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    stamps = [
        node.value.func
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr == "isoformat"
        and isinstance(node.value, ast.Call)
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in ("now", "utcnow", "today"):
            assert node in stamps, f"{path}:{node.lineno}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) != ("time", "time"), f"{path}:{node.lineno}"
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            assert "time" not in {name.name for name in node.names}, f"{path}:{node.lineno}"
