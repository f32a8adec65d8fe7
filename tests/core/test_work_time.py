from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from steep.core.work_time import work_time


def test_seconds_of_all_runs_are_added(tmp_path: Path) -> None:
    path = tmp_path / "seconds"
    path.write_text("100.00\n")
    with work_time(path) as seconds:
        assert 100 <= seconds() < 105
        time.sleep(0.2)
    assert 100.2 <= float(path.read_text()) < 110
    path.write_text("no number")
    with work_time(path) as seconds:
        assert seconds() < 5
    assert [*tmp_path.iterdir()] == [path]


def test_a_place_that_cannot_be_written_stops_no_work(tmp_path: Path) -> None:
    with work_time(tmp_path / "nowhere" / "seconds", flush_s=0.01) as seconds:
        time.sleep(0.05)
        assert seconds() >= 0.05


WORK = """
import sys, time
from pathlib import Path
from steep.core.work_time import work_time
with work_time(Path(sys.argv[1]), flush_s=0.05):
    print("begun", flush=True)
    time.sleep(60)
"""


def test_a_kill_loses_no_more_than_the_last_interval(tmp_path: Path) -> None:
    path, counted = tmp_path / "seconds", 0.0
    for _ in range(2):
        command = [sys.executable, "-c", WORK, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None and child.stdout.readline() == b"begun\n"
            deadline = time.monotonic() + 30
            while not path.exists() or float(path.read_text()) < counted + 0.2:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            child.kill()
        assert float(path.read_text()) >= counted + 0.2
        counted = float(path.read_text())
