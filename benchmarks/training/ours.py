"""Steep as a contestant: `steep.training.loop.train` itself, without checkpoints.

While phases are timed the loop's own functions are wrapped, which changes nothing else. With
`float8` the matrix products of the decoder layers are in float8: an experiment, not a setting of
Steep, and one to read beside its losses.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
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
from steep.training.model_dims import decoder_layers
from steep.training.parallel import World
from steep.training.prepare import prepare, weight_dtype


@dataclass(frozen=True)
class Ours:
    """One way to use Steep.

    Attributes:
        optimizer: Of `OptimizationConfig`.
        compute: Of `OptimizationConfig`.
        compile: Of `OptimizationConfig`.
        float8: Recipe of torchao for the linear layers of the decoder layers, "tensorwise" or
            "rowwise"; emulated on a processor. The head stays as it is. None: no float8.
        isolate: Of `OptimizationConfig`: `isolate_documents`.
    """

    optimizer: OptimizerName
    compute: Any = "bfloat16"
    compile: Any = "layers"
    float8: str | None = None
    isolate: bool = False

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
            isolate_documents=self.isolate,
        )

    def run(self, job: Job, recorder: Recorder) -> None:
        """Train."""
        settings = self.settings(job)
        parts = [self.optimizer, self.compute, f"compile {self.compile}"]
        parts += [f"float8 {self.float8} in the layers"] * bool(self.float8)
        parts += ["isolated documents"] * self.isolate + [f"{job.micro_sequences} rows at once"]
        recorder.settings = ", ".join(parts)
        model = random_model(job.sizes, job.device, weight_dtype(settings))
        if self.float8:
            use_float8(model, self.float8, emulate=job.device == "cpu")
        world = World(0, 1, 0, torch.device(job.device))

        def on_step(metrics: StepMetrics) -> None:
            recorder.losses.append(metrics.loss)
            recorder.step_done()

        with ExitStack() as stack:
            directory = stack.enter_context(TemporaryDirectory())
            wrap_loop(stack, recorder)
            loop.train(
                model,
                replace(mixture_of(job), isolate_documents=self.isolate),
                settings,
                job.all_steps,
                Path(directory),
                world,
                on_step=on_step,
            )


def use_float8(model: Any, recipe: str, *, emulate: bool) -> None:
    """Convert the linear layers of the decoder layers in place; their weights stay the same.

    Emulated products are computed in the usual precision from operands rounded to float8.
    """
    from torchao.float8 import Float8LinearConfig, convert_to_float8_training

    config = replace(Float8LinearConfig.from_recipe_name(recipe), emulate=emulate)
    for layer in decoder_layers(model):
        convert_to_float8_training(layer, config=config)


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
