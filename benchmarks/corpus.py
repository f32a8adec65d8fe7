"""Time and memory of the corpus stage, from the ledger to the Parquet files.

    python benchmarks/corpus.py documents.jsonl generations.jsonl.gz --texts 50000 100000

Fills the ledger of a project with answers to the calls of one recipe (half of the texts) and with
imported texts (the other half), then makes the corpus in a fresh process. Each text is one of the
file about the same document with a third of its words replaced by those of another, so that few
are duplicates. Time is that of the stage alone; memory is the peak of the process that reads and
writes, and of the largest process that filters.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import yaml

from steep.config_loading import load_config
from steep.core.artifacts import Artifact, Project
from steep.core.calls import Completion, Usage
from steep.generation.setup import plan_view
from steep.ledger.ledger import Ledger, chunks
from steep.ledger.records import Entry, ImportedText, Slot
from steep.stages import corpus, documents

REPLACED = 0.3  # of the words
SEED = 0


def varied(texts: list[str], seed: int) -> Iterator[str]:
    """Yield texts without end, each with words of another."""
    drawn = random.Random(seed)
    while True:
        words, other = (drawn.choice(texts).split(" ") for _ in range(2))
        for place in range(len(words)):
            if drawn.random() < REPLACED:
                words[place] = drawn.choice(other)
        yield " ".join(words)


def fill(root: Path, documents_path: Path, generations: Path, texts: int) -> None:
    """Write a project with so many texts in its ledger."""
    known = [json.loads(line) for line in documents_path.read_text().splitlines()]
    by_document: defaultdict[str, list[str]] = defaultdict(list)
    with gzip.open(generations, "rt") as file:
        for line in file:
            row = json.loads(line)
            by_document[row["document_id"]].append(row["text"])
    samples = texts // 2 // len(known)
    recipes = {"rephrase": {"styles": ["easy"], "samples": samples}}
    endpoint = {"base_url": "http://127.0.0.1:1/v1", "model": "none"}
    tree = {
        "documents": {"path": str(documents_path)},
        "generate": {**endpoint, "recipes": recipes},
        "evaluate": {"questions": None},
    }
    (root / "steep.yaml").write_text(yaml.safe_dump(tree))
    config, project = load_config(root / "steep.yaml"), Project(root)
    made = documents.load(documents.run(config, project))
    with Ledger(project.ledger_path) as ledger:
        view = plan_view(config.generate, made, ledger)
        for number, each in enumerate(view.all_texts(view.recipes[0])):
            source = varied(by_document[each.document.id], SEED + number)
            calls = view.calls(each)
            for ranks in chunks(range(each.number), 1000):
                ledger.record(
                    [
                        Entry(
                            calls[rank],
                            Completion(
                                calls[rank].id, next(source), "stop", Usage(), 0.0, 1.0, "e", 1
                            ),
                            Slot(each.key, rank),
                        )
                        for rank in ranks
                    ]
                )
        for number, document in enumerate(made):
            source = varied(by_document[document.id], -SEED - number - 1)
            for ranks in chunks(range(samples), 1000):
                ledger.record_imported(
                    [ImportedText(document.id, "other", "m", rank, next(source)) for rank in ranks]
                )


def stage(root: Path) -> None:
    """Make the corpus of a project, and print what it took."""
    config, project = load_config(root / "steep.yaml"), Project(root)
    read = documents.run(config, project)
    generated = Artifact("generate", project.store / "generate-00000000", {"digest": "benchmark"})
    start, before = time.perf_counter(), time.process_time()
    made = corpus.run(config, project, read, generated)
    own, children = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    found = {
        "wall_s": time.perf_counter() - start,
        "own_s": time.process_time() - before,
        "workers_s": children.ru_utime + children.ru_stime,
        "own_mb": own.ru_maxrss / 1024,
        "worker_mb": children.ru_maxrss / 1024,
        "words": made.manifest["counts"]["words"],
        "passages": made.manifest["counts"]["passages"],
        "rejected": made.manifest["rejected"],
        "parquet_mb": sum(each.stat().st_size for each in made.path.glob("*.parquet")) / 1e6,
    }
    print(json.dumps(found))


def main() -> None:
    """Print one row per number of texts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("documents", type=Path)
    parser.add_argument("generations", type=Path, nargs="?")
    parser.add_argument("--texts", type=int, nargs="+", default=[50_000, 100_000])
    parser.add_argument("--stage", action="store_true", help="(internal)")
    arguments = parser.parse_args()
    if arguments.stage:
        stage(arguments.documents)
        return
    for texts in arguments.texts:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            fill(root, arguments.documents.resolve(), arguments.generations, texts)
            command = [sys.executable, __file__, str(root), "--stage"]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found = json.loads(done.stdout.splitlines()[-1])
            print(texts, json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
