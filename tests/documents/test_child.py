"""Children: answers, limits, and that a bad file costs only itself."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from steep.documents.child import Answer, ChildLimits, Task, end_idle_children, run_tasks

LIMITS = ChildLimits(seconds=0.5, bytes=64 << 20)


def answers(*kinds: str, children: int = 2, limits: ChildLimits = LIMITS) -> dict[str, Answer]:
    tasks = [Task("child_tasks", "work", kind) for kind in kinds]
    return {task.path: answer for task, answer in run_tasks(tasks, limits, children)}


@pytest.fixture(autouse=True)
def _no_children_left() -> Iterator[None]:
    yield
    end_idle_children()


def test_bad_files_cost_only_themselves_and_say_why() -> None:
    bad = {
        "crash": ("its process crashed (SIGSEGV)", True),
        "bomb": ("it needs more than 67.1 MB of memory", True),
        "many": ("it needs more than 67.1 MB of memory", True),
        "refused": ("no text", False),
        "error": ("ValueError: an odd value", False),
        "deep": ("its elements are nested too deeply", False),
    }
    good = [f"good-{number}" for number in range(4)]
    found = answers(*good[:2], *bad, "hang", *good[2:])
    assert {kind: (found[kind].failure, found[kind].limited) for kind in bad} == bad
    assert re.match(r"it took more than (0\.5 s of processor time|5 s)$", found["hang"].failure)
    values = [found[kind].value for kind in good]
    assert [value and value["text"] for value in values] == [kind.upper() for kind in good]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("killed", "was killed, as when memory runs out"),
        ("exit", "its process ended with exit code 3"),
        ("library", "ImportError: no such library"),
    ],
)
def test_what_may_succeed_next_time_is_marked(kind: str, reason: str) -> None:
    answer = answers(kind)[kind]
    assert answer.passing and not answer.limited and reason in answer.failure


def test_time_on_the_clock_is_limited_too() -> None:
    answer = answers("sleep", limits=ChildLimits(seconds=0.1))["sleep"]
    assert (answer.failure, answer.limited) == ("it took more than 1 s", True)


def test_children_are_reused() -> None:
    processes = set()
    for _ in range(2):
        for answer in answers("a", "b", "c", children=1).values():
            assert answer.value
            processes.add(answer.value["process"])
    assert len(processes) == 1


SCRIPT = """
import sys
from steep.documents.child import Task, run_tasks
print(*(answer.value["text"] for _, answer in run_tasks([Task("child_tasks", "work", "a")])))
for _, answer in run_tasks([Task("child_tasks", "work", kind) for kind in sys.argv[1:]]):
    print(answer, flush=True)
"""


def script(folder: Path, *kinds: str, code: str = SCRIPT) -> subprocess.Popen[str]:
    path = folder / "plain.py"
    path.write_text(code)
    paths = os.pathsep.join(filter(None, sys.path))
    return subprocess.Popen(
        [sys.executable, str(path), *kinds],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": paths},
        text=True,
        cwd=folder,
    )


def test_a_plain_script_needs_no_guard(tmp_path: Path) -> None:
    with script(tmp_path) as process:
        assert process.communicate(timeout=60)[0] == "A\n"
    assert process.returncode == 0


def test_a_lower_limit_of_the_shell_holds(tmp_path: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_AS, (2_000_000_000,) * 2)"
    with script(tmp_path, code=limit + SCRIPT) as process:  # below what a file may take
        assert process.communicate(timeout=60)[0] == "A\n"


def children_of(process: int) -> list[int]:
    return [
        int(each) for each in Path(f"/proc/{process}/task/{process}/children").read_text().split()
    ]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_no_child_outlives_its_parent(tmp_path: Path, sent: signal.Signals) -> None:
    with script(tmp_path, "sleep") as process:
        assert process.stdout and process.stdout.readline() == "A\n"
        found = children_of(process.pid)
        assert found
        process.send_signal(sent)
        process.stdout.read()
        process.wait(timeout=60)
    until = time.monotonic() + 20
    while any(Path(f"/proc/{each}/fd").exists() and _is_alive(each) for each in found):
        assert time.monotonic() < until, found
        time.sleep(0.05)


def _is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
