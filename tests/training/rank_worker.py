"""Runs of several ranks, for the tests: MODEL SHARDS ROOT, and the runs as JSON on standard input.

Each run is {"run", "ranks", "changes"}: a folder under ROOT, how many processes, and what they do
differently. They are forked, because importing takes longer than training. Each rank's standard
error goes to RUN/<number>-rank<rank>.txt with its exit code as the last line; RUN/weights.pt holds
the gathered weights.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed.fsdp  # before the processes part
from training_setup import SETTINGS, STEPS, changed, load_mixture, load_model

from steep.core.errors import UserError
from steep.training import loop
from steep.training.metrics import StepMetrics
from steep.training.parallel import connect, disconnect
from steep.training.rank_loading import open_model


def work(model: str, shards: str, run: str, wanted: dict[str, Any]) -> None:
    """Train as one rank; `wanted` changes settings, or says which rank dies or stops when."""
    die_at, stop_at = wanted.pop("die_at", None), wanted.pop("stop_at", None)
    mask = wanted.pop("mask", False)
    world = connect()
    mixture: Any = load_mixture(Path(shards))
    if mask:
        mixture = Masked(mixture)
    if die_at is not None and world.rank == 1:
        die_in_step(die_at)

    def on_step(metrics: StepMetrics) -> None:
        if metrics.step == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)

    steps = wanted.pop("steps", STEPS)
    settings, directory = changed(SETTINGS, **wanted), Path(run)
    try:
        opened, fill = open_model(Path(model), settings, world)
        module = loop.train(
            opened, mixture, settings, steps, directory, world, on_step=on_step, fill=fill,
            validation={"corpus": replace(load_mixture(Path(shards)), shares=())},
        )  # fmt: skip
    except UserError as error:
        sys.exit(f"rank {world.rank}: {error}")
    except KeyboardInterrupt:
        disconnect(world)
        return
    whole = {
        name: (each.full_tensor() if hasattr(each, "full_tensor") else each).detach()
        for name, each in module.model.named_parameters()
    }
    if world.is_main:
        torch.save(whole, directory / "weights.pt")
    disconnect(world)


class Masked:
    """A mixture of which each row predicts another number of tokens."""

    def __init__(self, mixture: Any) -> None:
        self._mixture = mixture

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mixture, name)

    def rows(self, first: int, count: int) -> Any:
        rows = self._mixture.rows(first, count)
        for index, labels_T in enumerate(rows.labels_BT):
            labels_T[: 7 * ((first + index) % 4)] = -100
        return rows


def die_in_step(step: int) -> None:
    real = vars(loop)["_step"]

    def step_or_die(run: Any, batch: Any, number: int, *more: Any) -> Any:
        if number == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(run, batch, number, *more)

    vars(loop)["_step"] = step_or_die


def fork_rank(error_file: Path, place: dict[str, Any], *args: Any) -> int:
    """Start a rank; returns its process id."""
    if pid := os.fork():
        return pid
    os.environ.update({key: str(value) for key, value in place.items()})
    with error_file.open("w") as file:
        os.dup2(file.fileno(), 2)
    code = 0
    try:
        work(*args)
    except SystemExit as end:
        print(end.code, file=sys.stderr)
        code = 1
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stderr.flush()
    os._exit(code)


def main(model: str, shards: str, root: str) -> None:
    """Do the runs one after the other."""
    torch.set_num_threads(1)
    load_model(Path(model))  # imports its class
    for number, each in enumerate(json.load(sys.stdin)):
        run = Path(root) / each["run"]
        run.mkdir(exist_ok=True)
        with socket.socket() as opened:
            opened.bind(("127.0.0.1", 0))
            port = opened.getsockname()[1]
        common = {"WORLD_SIZE": each["ranks"], "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        files = [run / f"{number}-rank{rank}.txt" for rank in range(each["ranks"])]
        pids = [
            fork_rank(file, {**common, "RANK": rank, "LOCAL_RANK": rank}, model, shards, str(run),
                      each["changes"])
            for rank, file in enumerate(files)
        ]  # fmt: skip
        for file, pid in zip(files, pids, strict=True):
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            with file.open("a") as opened_file:
                opened_file.write(f"\n{code}")


if __name__ == "__main__":
    main(*sys.argv[1:])
