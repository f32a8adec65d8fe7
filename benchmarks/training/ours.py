"""Steep as a contestant: `steep.training.loop.train` itself, without checkpoints.

While phases are timed the loop's own functions are wrapped, which changes nothing else.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import torch
from benchmarks.training.job import Job, mixture_of, random_model
from benchmarks.training.recorder import Recorder

from steep.training import loop, loss
from steep.training.config import OptimizationConfig, OptimizerName
from steep.training.metrics import StepMetrics
from steep.training.parallel import World
from steep.training.prepare import prepare, weight_dtype


@dataclass(frozen=True)
class Ours:
    """One way to use Steep.

    Attributes:
        optimizer: Of `OptimizationConfig`.
        compute: Of `OptimizationConfig`.
        compile: Of `OptimizationConfig`.
    """

    optimizer: OptimizerName
    compute: Any = "bfloat16"
    compile: Any = "layers"

    def settings(self, job: Job) -> OptimizationConfig:
        """What the loop is given."""
        return OptimizationConfig(
            context_tokens=job.sizes.context_tokens,
            batch_sequences=job.sizes.batch_sequences,
            micro_batch_sequences=job.micro_sequences,
            learning_rate=job.sizes.learning_rate,
            optimizer=self.optimizer,
            keep_checkpoints=0,
            compute=self.compute,
            compile=self.compile,
        )

    def run(self, job: Job, recorder: Recorder) -> None:
        """Train."""
        settings = self.settings(job)
        micro = f"{job.micro_sequences} rows at once"
        recorder.settings = f"{self.optimizer}, {self.compute}, compile {self.compile}, {micro}"
        model = random_model(job.sizes, job.device, weight_dtype(settings))
        world = World(0, 1, 0, torch.device(job.device))

        def on_step(metrics: StepMetrics) -> None:
            recorder.losses.append(metrics.loss)
            recorder.step_done()

        with ExitStack() as stack:
            directory = stack.enter_context(TemporaryDirectory())
            wrap_loop(stack, recorder)
            loop.train(
                model,
                mixture_of(job),
                settings,
                job.all_steps,
                Path(directory),
                world,
                on_step=on_step,
            )


def wrap_loop(stack: ExitStack, recorder: Recorder) -> None:
    """Put clocks around the parts of a step, for as long as `stack` lasts."""

    def put(target: Any, name: str, value: Any) -> None:
        stack.enter_context(mock.patch.object(target, name, value))

    def timed(phase: str, target: Any, name: str) -> None:
        put(target, name, recorder.timed(phase, getattr(target, name)))

    def rows(run: loop.TrainingRun, step: int) -> loop.TokenBatch:
        with recorder.host_phase("rows"):
            return read(run, step)

    def with_clocks(*args: Any) -> loss.CausalLoss:
        module = prepare(*args)
        vars(module)["forward"] = recorder.timed("forward", module.forward)
        return module

    read, head = loop.TrainingRun.batch, loss._ChunkedCrossEntropy
    put(loop.TrainingRun, "batch", rows)
    put(loop, "prepare", with_clocks)
    timed("copy to device", loop, "on_device")
    timed("clip", loop, "clip_gradients")
    timed("backward", torch.Tensor, "backward")
    put(head, "forward", staticmethod(recorder.timed("loss head", head.forward)))
