"""What the tests of this room share. As a script, it makes the runs that are killed.

MODEL SHARDS RUNS: for each moment a process of its own that trains and dies there by SIGKILL.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from steep.testing.tiny_corpus import DOCUMENTS
from steep.tokens.mixture import Mixture, MixtureShare
from steep.tokens.order import Stream
from steep.tokens.shard import open_shard, write_shard
from steep.training import checkpoint, checkpoint_files
from steep.training.config import OptimizationConfig
from steep.training.loop import train
from steep.training.metrics import StepMetrics
from steep.training.parallel import World

CONTEXT_TOKENS = 32
STEPS = 8
SETTINGS = OptimizationConfig(
    context_tokens=CONTEXT_TOKENS,
    batch_sequences=4,
    micro_batch_sequences=2,
    learning_rate=1e-2,
    warmup=0.25,
    weight_decay=0.01,
    gradient_clip=1.0,
    compute="float32",
    compile="none",
    checkpoint_minutes=1e-9,
    seed=5,
)
ALONE = World(0, 1, 0, torch.device("cpu"))
REPLAY = "The weather was fine. Nobody knew why, and nobody asked."


def changed(settings: OptimizationConfig, **values: Any) -> OptimizationConfig:
    return settings.model_copy(update=values)


def write_shards(directory: Path, tokenizer: Any) -> None:
    write_shard(directory / "corpus", [document.text for document in DOCUMENTS], tokenizer)
    write_shard(directory / "replay", [REPLAY], tokenizer)


def load_mixture(directory: Path, context_tokens: int = CONTEXT_TOKENS) -> Mixture:
    corpus, replay = (Stream(open_shard(directory / name), 1) for name in ("corpus", "replay"))
    return Mixture(corpus, (MixtureShare("replay", replay, 0.25),), context_tokens)


def load_model(directory: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(directory)


def load_tokenizer(directory: Path) -> Any:
    return AutoTokenizer.from_pretrained(directory)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_after_a_step(metrics: StepMetrics) -> None:
    """The line of step 4 is in the metrics; its checkpoint is not on disk."""
    if metrics.step == 4:
        die()


def die_in_a_checkpoint(metrics: StepMetrics) -> None:
    """The weights of step 3 are written, but not yet under their name."""
    if metrics.step == 3:
        publish = checkpoint_files.publish

        def publish_or_die(temporary: Path, path: Path, record: Any, keep: int) -> None:
            if record.step == 3:  # that of step 2 may still be under way
                die()
            publish(temporary, path, record, keep)

        vars(checkpoint)["publish"] = publish_or_die


MOMENTS = {"after a step": die_after_a_step, "in a checkpoint": die_in_a_checkpoint}


def main(model: str, shards: str, runs: str) -> None:
    """Fork, because importing takes longer than training; print how the processes ended."""
    torch.set_num_threads(1)
    for moment, kill in MOMENTS.items():
        if os.fork() == 0:
            directory = Path(runs) / moment
            directory.mkdir()
            mixture = load_mixture(Path(shards))
            train(load_model(Path(model)), mixture, SETTINGS, STEPS, directory, ALONE, on_step=kill)
            sys.exit("nobody killed me")
        print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
