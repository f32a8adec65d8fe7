"""Records per second and peak memory of reading JSON Lines, CSV, JSON and Parquet.

    python -m benchmarks.records --megabytes 200

Each reading runs in a process of its own; its peak is that of the resident memory above the peak
before reading. A plain loop over the same library keeps the same documents (id, title, text) as
dictionaries; "documents" is the memory of those of Steep alone, loaded from a pickle.
"""

from __future__ import annotations

import argparse
import csv
import json
import pickle
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

WORDS = [
    "the",
    "harbour",
    "of",
    "salt",
    "was",
    "dug",
    "in",
    "spring",
    "when",
    "ferry",
    "lamps",
    "burned",
    "on",
    "every",
    "quay",
    "below",
]
WORDS_PER_RECORD = 400


def main() -> None:
    """Write the files, and print a row per format and way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--run", nargs=2, metavar=("WAY", "FILE"))
    options = parser.parse_args()
    if options.run:
        _measure(options.run[0], Path(options.run[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        for path in _write_files(Path(folder), options.megabytes << 20):
            for way in ("plain", "steep", "documents"):
                command = [sys.executable, "-m", "benchmarks.records", "--run", way, str(path)]
                row = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
                rate = f"{row['records'] / row['seconds']:9,.0f} records/s"
                print(f"{path.suffix:<9}{way:<10}{rate}{row['mib']:8,.0f} MiB", flush=True)


def _rows(size: int) -> Iterator[dict[str, str]]:
    generator, written, number = random.Random(0), 0, 0
    while written < size:
        text = " ".join(generator.choices(WORDS, k=WORDS_PER_RECORD))
        number += 1
        written += len(text)
        yield {"id": f"d{number}", "title": f"Title {number}", "text": text, "url": f"x/{number}"}


def _write_files(folder: Path, size: int) -> list[Path]:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    paths = [folder / f"all.{suffix}" for suffix in ("jsonl", "json", "csv", "parquet")]
    with paths[0].open("w") as file:
        file.writelines(json.dumps(row) + "\n" for row in _rows(size))
    with paths[1].open("w") as file:
        json.dump([*_rows(size)], file)
    with paths[2].open("w", newline="") as file:
        writer = csv.DictWriter(file, ["id", "title", "text", "url"])
        writer.writeheader()
        writer.writerows(_rows(size))
    parquet.write_table(pa.Table.from_pylist([*_rows(size)]), paths[3], row_group_size=10_000)
    return paths


def _plain(path: Path) -> list[Any]:
    keys = ("id", "title", "text")

    def kept(row: dict[str, Any]) -> dict[str, Any]:
        return {key: row[key] for key in keys}

    if path.suffix == ".parquet":
        import pyarrow.parquet as parquet

        batches = parquet.ParquetFile(path).iter_batches(columns=[*keys])
        return [row for batch in batches for row in batch.to_pylist()]
    with path.open(newline="") as file:
        if path.suffix == ".jsonl":
            return [kept(json.loads(line)) for line in file]
        if path.suffix == ".json":
            return [kept(row) for row in json.load(file)]
        return [kept(row) for row in csv.DictReader(file)]


def _steep(path: Path) -> list[Any]:
    from steep.documents.reading import read_documents

    return [*read_documents(path).documents]


def _documents(path: Path) -> list[Any]:
    with path.with_suffix(f"{path.suffix}.pickle").open("rb") as file:
        documents: list[Any] = pickle.load(file)
    return documents


def _measure(way: str, path: Path) -> None:
    import pyarrow.parquet  # noqa: F401

    import steep.documents.reading  # noqa: F401

    ways: dict[str, Callable[[Path], list[Any]]] = {
        "plain": _plain,
        "steep": _steep,
        "documents": _documents,
    }
    before, start = _peak_mib(), time.process_time()
    found = ways[way](path)
    row = {"seconds": time.process_time() - start, "mib": _peak_mib() - before}
    print(json.dumps({"records": len(found), **row}))
    if way == "steep":
        with path.with_suffix(f"{path.suffix}.pickle").open("wb") as file:
            pickle.dump(found, file)


def _peak_mib() -> float:
    """Return the highest resident memory of this process (that of `resource` is inherited)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM"))
    return int(peak) / 1024


if __name__ == "__main__":
    main()
