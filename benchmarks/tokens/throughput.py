"""MB/s and peak memory of tokenising, Steep's beside datatrove's and Hugging Face datasets'.

    python -m benchmarks.tokens.throughput --source texts.jsonl --tokenizer FOLDER \
        --venv datatrove=/path/a --venv datasets=/path/b

All get the same texts, made from the sentences of --source (JSON Lines with `text`) by drawing them
anew, and the same fast tokenizer, in a process of its own with an empty folder. They run at two
sizes, so that memory which grows with the corpus is seen. The clock starts when the process has
started and ends with the ids on disk; imports are in it. CPU is of all its processes, and says more
than the clock where others use the machine. Memory is that of all processes of a
contestant: resident (shared pages count in each), and without what the kernel can drop
(anonymous memory, shared pages counted once). A contestant without an environment is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.generation.measuring import conditions, table
from benchmarks.tokens.contestants import CONTESTANTS

REPOSITORY = Path(__file__).parents[2]
PARTS = 4  # files, since datatrove gives a worker whole ones
TEXT_CHARACTERS = 2000
COLUMNS = (
    "contestant", "version", "text, MB", "tokens", "wall, s", "MB/s", "steep over it",
    "CPU, s", "CPU over steep's",
    "peak RSS, MB", "peak anonymous, MB",
)  # fmt: skip


class Memory(NamedTuple):
    """Memory of a process tree, in 10^6 bytes."""

    resident_mb: float = 0.0
    anonymous_mb: float = 0.0


class Watched(NamedTuple):
    """The peak of a process tree, and the CPU time of all that was in it."""

    memory: Memory
    cpu_s: float


class Result(NamedTuple):
    """What one run of one contestant took."""

    name: str
    version: str
    text_mb: float
    tokens: int
    wall_s: float
    cpu_s: float
    memory: Memory


def main() -> None:
    """Run all contestants at all sizes and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--sizes-mb", type=int, nargs="*", default=[20, 200])
    parser.add_argument("--venv", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--only", nargs="*", default=list(CONTESTANTS), choices=CONTESTANTS)
    options = parser.parse_args()
    own = str(Path(sys.prefix))
    venvs = {"steep": own, "tokenizers": own, **dict(e.split("=", 1) for e in options.venv)}
    print(conditions(["tokenizers", "transformers"]), end="\n\n", flush=True)
    results = []
    with tempfile.TemporaryDirectory(prefix="steep-tokens-") as folder:
        for size_mb in options.sizes_mb:
            texts = Path(folder) / f"{size_mb}"
            written_mb = write_texts(texts, options.source, size_mb)
            for name in options.only:
                if CONTESTANTS[name].package in venvs:
                    found = one_run(name, venvs, texts, options.tokenizer.resolve(), written_mb)
                    print(*found, sep="  ", file=sys.stderr, flush=True)
                    results.append(found)
    print(table(COLUMNS, report(results)))


def write_texts(folder: Path, source: Path, size_mb: int) -> float:
    """Write texts of so many MB, the same ones every time; return the MB of their UTF-8."""
    sentences = [sentence for text in _texts(source) for sentence in re.split(r"(?<=[.!?]) ", text)]
    draw = random.Random(0)
    folder.mkdir(parents=True)
    size = 0
    for part in range(PARTS):
        with (folder / f"{part}.jsonl").open("w", encoding="utf-8") as file:
            while size < (part + 1) / PARTS * size_mb * 1e6:
                text = _text(sentences, draw)
                file.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
                size += len(text.encode())
    return size / 1e6


def _texts(source: Path) -> Iterator[str]:
    with source.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)["text"]


def _text(sentences: list[str], draw: random.Random) -> str:
    chosen: list[str] = []
    while sum(map(len, chosen)) < TEXT_CHARACTERS:
        chosen.append(draw.choice(sentences))
    return " ".join(chosen)


def one_run(
    name: str, venvs: dict[str, str], texts: Path, tokenizer: Path, text_mb: float
) -> Result:
    """Run a contestant with an empty folder, and watch its memory."""
    python = Path(venvs[CONTESTANTS[name].package]) / "bin" / "python"
    with tempfile.TemporaryDirectory(prefix="steep-tokens-") as folder:
        command = [python, "-m", "benchmarks.tokens.contestants", name, "--texts", texts]
        command += ["--tokenizer", tokenizer, "--output", Path(folder) / "output"]
        paths = f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'src'}"
        environment = {**os.environ, "HOME": folder, "HF_HUB_OFFLINE": "1", "PYTHONPATH": paths}
        with (Path(folder) / "log").open("w+") as log:
            process = subprocess.Popen(
                list(map(str, command)), stdout=subprocess.PIPE, stderr=log, text=True,
                env=environment, cwd=folder,
            )  # fmt: skip
            seen = watched(process)
            if process.returncode:
                log.seek(0)
                raise SystemExit(f"{name} failed:\n{log.read()[-3000:]}")
        assert process.stdout is not None
        found = json.loads(process.stdout.read().strip().splitlines()[-1])
    version, tokens, wall_s = (found[key] for key in ("version", "tokens", "wall_s"))
    return Result(name, version, text_mb, tokens, wall_s, seen.cpu_s, seen.memory)


def watched(process: subprocess.Popen[str]) -> Watched:
    """Look at a process and its descendants ten times a second until it ends."""
    peak, cpu_s = Memory(), dict[int, float]()
    while process.poll() is None:
        pids = tree(process.pid)
        sums = Memory(*map(sum, zip(*map(memory_of, pids), strict=True)))
        peak = Memory(*map(max, peak, sums))
        cpu_s |= {pid: max(cpu_s_of(pid), cpu_s.get(pid, 0.0)) for pid in pids}
        time.sleep(0.1)
    return Watched(peak, sum(cpu_s.values()))


def cpu_s_of(pid: int) -> float:
    """User and system seconds of a process so far."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """A process and all that descend from it; one that ends meanwhile is left out."""
    found = [pid]
    for each in found:
        for children in Path(f"/proc/{each}/task").glob("*/children"):
            try:
                found += map(int, children.read_text().split())
            except OSError:
                continue
    return found


def memory_of(pid: int) -> Memory:
    """What a process holds at the moment."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:  # it has ended
        return Memory()
    kib = {name: int(value.split()[0]) for name, value in (each.split(":", 1) for each in lines)}
    return Memory(kib["Rss"] * 1024 / 1e6, (kib["Pss_Anon"] + kib["Pss_Shmem"]) * 1024 / 1e6)


def report(results: list[Result]) -> Iterator[tuple[str, ...]]:
    """The lines of the table."""
    steep = {each.text_mb: each for each in results if each.name == "steep"}
    for each in results:
        ours = steep.get(each.text_mb)
        yield (
            each.name,
            each.version,
            f"{each.text_mb:.0f}",
            f"{each.tokens:,}",
            f"{each.wall_s:.1f}",
            f"{each.text_mb / each.wall_s:.2f}",
            f"{each.wall_s / ours.wall_s:.2f} x" if ours else "-",
            f"{each.cpu_s:.0f}",
            f"{each.cpu_s / ours.cpu_s:.2f} x" if ours else "-",
            f"{each.memory.resident_mb:.0f}",
            f"{each.memory.anonymous_mb:.0f}",
        )


if __name__ == "__main__":
    main()
