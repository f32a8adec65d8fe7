"""Ways to turn JSON Lines of texts into token ids on disk, each run in a process of its own.

    python -m benchmarks.tokens.contestants NAME --texts FOLDER --tokenizer FOLDER --output FOLDER

It is given two processes or threads where it takes a number. Prints what it wrote, as JSON.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.generation.measuring import version_of

CORES = 2
CONTEXT_TOKENS = 2048


class Task(NamedTuple):
    """Where things lie: `texts` holds *.jsonl, `tokenizer` a tokenizer.json."""

    texts: Path
    tokenizer: Path
    output: Path


class Contestant(NamedTuple):
    """A way to tokenise, and the package it comes in; `run` returns the number of tokens."""

    run: Callable[[Task], int]
    package: str


def run_steep(task: Task) -> int:
    """Steep: one shard, which needs no further packing."""
    from transformers import PreTrainedTokenizerFast

    from steep.tokens.shard import write_shard

    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # as the command sets it
    tokenizer = PreTrainedTokenizerFast.from_pretrained(task.tokenizer)
    return write_shard(task.output, _texts(task.texts), tokenizer).tokens


def run_tokenizer(task: Task) -> int:
    """The Rust tokenizer alone on its own threads, ids thrown away: what no wrapper can beat."""
    from tokenizers import Tokenizer

    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    tokenizer = Tokenizer.from_file(str(task.tokenizer / "tokenizer.json"))
    texts, tokens = _texts(task.texts), 0
    while batch := list(itertools.islice(texts, 512)):
        tokens += sum(map(len, tokenizer.encode_batch_fast(batch, add_special_tokens=False)))
    return tokens


def run_datatrove(task: Task) -> int:
    """Datatrove: one file of ids a task, in the order of reading; not merged."""
    executor: Any = importlib.import_module("datatrove.executor")
    readers: Any = importlib.import_module("datatrove.pipeline.readers")
    tokens: Any = importlib.import_module("datatrove.pipeline.tokens")
    steps = [
        readers.JsonlReader(str(task.texts)),
        tokens.DocumentTokenizer(
            str(task.output / "ids"),
            tokenizer_name_or_path=str(task.tokenizer / "tokenizer.json"),
            eos_token="<|im_end|>",
            shuffle_documents=False,  # Steep shuffles when it reads
        ),
    ]
    logs = str(task.output / "logs")
    executor.LocalPipelineExecutor(steps, tasks=CORES, workers=CORES, logging_dir=logs).run()
    return sum(file.stat().st_size for file in (task.output / "ids").glob("*.ds")) // 2


def run_datasets(task: Task, processes: int | None) -> int:
    """Hugging Face datasets: map of the tokenizer, then map of packing, as the examples do."""
    datasets: Any = importlib.import_module("datasets")
    from transformers import PreTrainedTokenizerFast

    os.environ["TOKENIZERS_PARALLELISM"] = "false" if processes else "true"
    tokenizer = PreTrainedTokenizerFast.from_pretrained(task.tokenizer)
    end = tokenizer.eos_token_id

    def tokenize(batch: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        found = tokenizer(batch["text"], add_special_tokens=False, return_attention_mask=False)
        return {"input_ids": [[*ids, end] for ids in found["input_ids"]]}

    def pack(batch: dict[str, list[list[int]]]) -> dict[str, list[list[int]]]:
        ids = [token for text in batch["input_ids"] for token in text]
        size = CONTEXT_TOKENS
        return {"input_ids": [ids[i : i + size] for i in range(0, len(ids), size)]}

    files = sorted(map(str, task.texts.glob("*.jsonl")))
    cache = str(task.output / "cache")
    data = datasets.load_dataset("json", data_files=files, split="train", cache_dir=cache)
    options: dict[str, Any] = {"batched": True, "num_proc": processes}
    data = data.map(tokenize, remove_columns=data.column_names, **options).map(pack, **options)
    return sum(map(len, data.with_format("numpy")["input_ids"]))


CONTESTANTS = {
    "steep": Contestant(run_steep, "steep"),
    "the Rust tokenizer alone": Contestant(run_tokenizer, "tokenizers"),
    "datatrove, 2 workers": Contestant(run_datatrove, "datatrove"),
    "datasets, 2 processes": Contestant(lambda task: run_datasets(task, CORES), "datasets"),
    "datasets, Rust threads": Contestant(lambda task: run_datasets(task, None), "datasets"),
}


def _texts(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("*.jsonl")):
        with path.open(encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)["text"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Tokenise and print what that took."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("name", choices=CONTESTANTS)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    contestant = CONTESTANTS[options.name]
    started = time.perf_counter()
    tokens = contestant.run(Task(options.texts, options.tokenizer, options.output))
    cost: dict[str, Any] = {"tokens": tokens, "wall_s": time.perf_counter() - started}
    print(json.dumps({**cost, "version": version_of(contestant.package)}))


if __name__ == "__main__":
    main()
