"""What `kill -9` costs: calls that an endpoint has answered, and that must be bought again.

    python -m benchmarks.generation.kill_loss --venv curator=/path/a --venv datatrove=/path/b

The contestants of `clients` that keep their results are killed after some seconds. What the server
has answered by then is compared with what lies on the disk and would be found by the next run. Up
to `--concurrency` answers were under way to the client or just read; what is lost beyond them is
what a contestant held in memory. (The disk is not lost here; what a power cut would take is another
question, which only a sync answers.)
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.generation import instant_server
from benchmarks.generation.clients import REPOSITORY, SERVER_CORE, command_of, variables
from benchmarks.generation.contestants import RECORDS_PER_CHUNK
from benchmarks.generation.measuring import conditions, table
from benchmarks.generation.workload import CALLS_PER_DOCUMENT

CALLS = 200_000  # more than anybody makes in the time
COLUMNS = ("client", "killed after, s", "answered", "kept", "lost")


def kept_by_steep(folder: Path) -> int:
    """Rows of the ledger."""
    connection = sqlite3.connect(folder / "ledger.sqlite")
    return int(connection.execute("SELECT count(*) FROM calls").fetchone()[0])


def kept_by_curator(folder: Path) -> int:
    """Whole lines of the file of responses."""
    files = folder.rglob("responses_*.jsonl")
    return sum(sum(map(_is_json, file.open(encoding="utf-8"))) for file in files)


def kept_by_datatrove(folder: Path) -> int:
    """Calls of finished chunks, and what chunk file and request cache hold of the others."""
    rank = folder / "checkpoints" / "00000"
    last = folder / "checkpoints" / "last_chunk" / "00000.txt"
    finished = int(last.read_text()) + 1 if last.is_file() else 0
    connection = sqlite3.connect(rank / "replay.sqlite3")
    rows = connection.execute(
        "SELECT doc_id, payload_hash FROM request_cache WHERE chunk_index >= ?", (finished,)
    ).fetchall()
    in_cache = {document for document, _ in rows}
    in_files = 0
    for file in rank.glob("chunk_*.jsonl"):
        if int(file.stem.removeprefix("chunk_")) >= finished:
            for line in filter(_is_json, file.open(encoding="utf-8")):
                record = json.loads(line)
                if record["id"] not in in_cache:
                    results = record["metadata"]["rollout_results"]
                    in_files += len(results[0]) if isinstance(results[0], list) else 1
    return finished * RECORDS_PER_CHUNK + len(rows) + in_files


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


KEPT: dict[str, Callable[[Path], int]] = {
    "steep": kept_by_steep,
    "curator": kept_by_curator,
    "datatrove, checkpoints": kept_by_datatrove,
    f"datatrove, checkpoints, {CALLS_PER_DOCUMENT} calls a record": kept_by_datatrove,
}


def main() -> None:
    """Kill each once, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=10.0, help="from the first answer on")
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--calls", type=int, default=CALLS)
    parser.add_argument("--venv", action="append", default=[], metavar="NAME=FOLDER")
    options = parser.parse_args()
    venvs = dict(each.split("=", 1) for each in options.venv)
    print(conditions(["aiohttp", "uvloop"]), end="\n\n", flush=True)
    rows = []
    for name, kept_by in KEPT.items():
        row = one_kill(name, kept_by, venvs, options)
        rows += [row] if row else []
    print(table(COLUMNS, rows))


def one_kill(
    name: str, kept_by: Callable[[Path], int], venvs: dict[str, str], options: argparse.Namespace
) -> tuple[str, ...] | None:
    """Let a contestant work for a while, kill it, and count."""
    with (
        instant_server.running(SERVER_CORE) as url,
        tempfile.TemporaryDirectory(prefix="steep-kill-") as folder,
    ):
        command = command_of(name, venvs, url, Path(folder), options.calls, options.concurrency)
        if command is None:
            return None
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=variables(folder),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _wait_for_calls(url, process, options.concurrency)
        time.sleep(options.seconds)
        assert process.poll() is None, f"{name} had ended before it was killed: more --calls"
        process.kill()
        process.wait()
        answered = instant_server.statistics(url).requests
        kept = kept_by(Path(folder))
    row = (name, f"{options.seconds:g}", f"{answered:,}", f"{kept:,}", f"{answered - kept:,}")
    print(*row, sep="  ", file=sys.stderr, flush=True)
    return row


def _wait_for_calls(url: str, process: subprocess.Popen[bytes], calls: int) -> None:
    while instant_server.statistics(url).requests < calls:
        assert process.poll() is None, "the contestant has failed"
        time.sleep(0.1)


if __name__ == "__main__":
    main()
