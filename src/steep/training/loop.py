"""The training loop, on one processor, one GPU or many ranks.

Order of data, learning rate, dropout and stochastic rounding are functions of the step alone. A
run that is killed and resumed ends with the same weights, bit for bit, as an uninterrupted one
(tested in fp32 on a processor), and a run may resume on another number of ranks.

A step: each rank takes its part of the batch, and sums the losses of its micro-batches divided by
the predicted tokens of *all* ranks, so that accumulation, ranks and masks do not change the
gradient. Gradients are clipped on the device, and the next rows are read while the device works.
The loss is read once per step, on a GPU while the next step runs, and checked before anything is
saved.
"""

from __future__ import annotations

import functools
import gc
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from steep.core.files import disk_errors
from steep.core.formatting import duration
from steep.core.ids import derive_seed
from steep.tokens.mixture import IGNORED, Mixture, RowBatch
from steep.training.attention import restore_masks
from steep.training.checkpoint import Checkpoints
from steep.training.config import OptimizationConfig
from steep.training.loss import CausalLoss
from steep.training.metrics import (
    METRICS,
    STARTS,
    VALIDATION,
    Log,
    StepMetrics,
    last_metrics,
    lines_after,
    read_validation,
)
from steep.training.monitor import (
    LossGuard,
    StepNumbers,
    StepReader,
    ThroughputMeter,
    asked_to_stop,
)
from steep.training.optimizers import (
    clip_gradients,
    learning_rate_at,
    make_optimizer,
    set_learning_rate,
    state_tensors,
)
from steep.training.parallel import World, check_ranks, lost_ranks
from steep.training.prepare import computing, on_device, prepare, trained_parameters
from steep.training.validation import mean_losses

log = logging.getLogger("steep")

SILENT_S = 30.0  # the time of a longer step is announced
COLLECT_EVERY = 500  # steps between garbage collections, which take 0.1 s each


class TokenBatch(NamedTuple):
    """The rows of this rank in a step, and the number of tokens that all ranks predict."""

    micro: list[RowBatch]
    predicted_tokens: int


@dataclass
class TrainingRun:
    """The state of a training run, and what a step reads."""

    module: CausalLoss
    optimizer: torch.optim.Optimizer
    mixture: Mixture
    settings: OptimizationConfig
    steps: int
    world: World
    parameters: dict[str, nn.Parameter] = field(init=False)

    def __post_init__(self) -> None:
        self.parameters = trained_parameters(self.module)

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors of a checkpoint by name."""
        weights = {
            f"model.{name}": parameter.detach() for name, parameter in self.parameters.items()
        }
        states = state_tensors(self.optimizer)
        return weights | {f"optimizer.{name}": tensor for name, tensor in states.items()}

    def batch(self, step: int) -> TokenBatch:
        """Read this rank's part of the rows of step `step`, counted from 0."""
        count = self.settings.batch_sequences
        # Each rank reads all rows, and so counts the predicted tokens of all ranks by itself.
        rows = self.mixture.rows(step * count, count)
        return self.divide(rows)

    def divide(self, rows: RowBatch) -> TokenBatch:
        """Return the micro-batches of this rank.

        All ranks get the same number, since they meet in every forward pass: a rank with too few
        rows repeats the first row and predicts nothing in it.
        """
        count, size = len(rows.ids_BT), self.settings.micro_batch_sequences
        first, mine = self.world.share(count)
        most = self.world.micro_batches(count, size)
        micro = [
            _part(rows, start, min(start + size, first + mine))
            for start in range(first, first + mine, size)
        ]
        while len(micro) < most:
            spare = _part(rows, 0, 1)
            micro.append(spare._replace(labels_BT=np.full_like(spare.labels_BT, IGNORED)))
        return TokenBatch(micro, int((rows.labels_BT != IGNORED).sum()))


def _part(rows: RowBatch, start: int, end: int) -> RowBatch:
    positions_BT = rows.positions_BT
    return RowBatch(
        rows.ids_BT[start:end],
        rows.labels_BT[start:end],
        None if positions_BT is None else positions_BT[start:end],
    )


def train(
    model: Any,
    mixture: Mixture,
    settings: OptimizationConfig,
    steps: int,
    directory: Path,
    world: World,
    validation: Mapping[str, Mixture] | None = None,
    on_step: Callable[[StepMetrics], None] = lambda metrics: None,
    track: Log = lambda row, step: None,
    first_losses: Mapping[str, float] | None = None,
    fill: Callable[[nn.Module], None] | None = None,
    on_part: Callable[[float], None] = lambda steps: None,
) -> CausalLoss:
    """Train `model` in place; metrics and checkpoints go to `directory`.

    Args:
        model: A Hugging Face causal LM, loaded in the precision of `prepare.weight_dtype`.
        mixture: The rows to train on.
        settings: The settings of the run, without `auto` values (see `prepare.resolve_auto`).
        steps: Optimizer steps of the whole run.
        directory: Directory of metrics and checkpoints; an interrupted run there is resumed.
        world: The ranks, see `parallel.connect`.
        validation: Sets of rows by name whose loss is measured.
        on_step: Called after each step, on the main rank.
        track: Receives metrics beside the JSON Lines.
        first_losses: Validation losses of the untrained model, if known.
        on_part: Called on the main rank with the number of steps done: at the start, and on a
            processor, which takes long per step, after each micro-batch (2.25 is a quarter of the
            third step).
        fill: Fills the model once it is sharded, if it is empty; see `rank_loading.open_model`.

    Returns:
        The model with its loss, sharded over the ranks.

    Raises:
        UserError: The loss is not finite or jumps, a checkpoint belongs to another run, a rank has
            died, or the disk is full.
    """
    check_ranks(settings, world)
    with lost_ranks(world), disk_errors(directory):
        torch.manual_seed(settings.seed)
        module = prepare(model, settings, world, fill)
        optimizer = make_optimizer(trained_parameters(module).items(), settings)
        run = TrainingRun(module, optimizer, mixture, settings, steps, world)
        try:
            loop = _Loop(run, directory, validation or {}, on_step, on_part, track, first_losses)
            loop.go()
        finally:
            restore_masks(model)
    return module


@dataclass
class _Loop:
    run: TrainingRun
    directory: Path
    validation: Mapping[str, Mixture]
    on_step: Callable[[StepMetrics], None]
    on_part: Callable[[float], None]
    track: Log
    first_losses: Mapping[str, float] | None
    elapsed_s: float = 0.0  # of all steps, also before this process

    def __post_init__(self) -> None:
        run = self.run
        identity = {"steps": run.steps, **run.settings.identity(), **run.mixture.fingerprint()}
        asynchronous = run.world.device.type != "cpu"
        self.checkpoints = Checkpoints(
            self.directory,
            run.world,
            run.settings.keep_checkpoints,
            identity,
            asynchronous=asynchronous,
        )
        self.loss_guard = LossGuard(run.settings)
        self.throughput = ThroughputMeter(
            run.module.model, run.mixture, run.settings, run.steps, run.world
        )

    def go(self) -> None:
        """Run the steps that are left."""
        steps, section = self.run.steps, self.run.settings.section
        first = self.checkpoints.load(self.run.tensors())
        if self.run.world.is_main:
            self.on_part(first)
        with ExitStack() as stack:
            stack.callback(self.checkpoints.close)
            write = stack.enter_context(self._lines(METRICS, first))
            self.write_validation = stack.enter_context(self._lines(VALIDATION, first))
            self.stop = stack.enter_context(
                asked_to_stop(section, self.run.settings.keep_checkpoints > 0)
            )
            stack.enter_context(_rare_garbage_collection())
            if self._is_unmeasured(first):  # the start, or an interrupted validation
                self._validate(first)
            if first < steps:
                start = stack.enter_context(self._lines(STARTS, first))
                start({"step": first, **self.throughput.workload()})
                self._steps(first, write)
            self.checkpoints.wait()

    def _steps(self, first: int, write: Callable[[Any], None]) -> None:
        run, settings = self.run, self.run.settings
        if first and run.world.is_main:
            self.elapsed_s = last_metrics(self.directory).elapsed_s
        saved_at = time.monotonic()
        batch = run.batch(first)
        reader = StepReader(run.world.device)
        for step in range(first, run.steps):
            reader.start()
            on_micro_batch = functools.partial(self._on_micro_batch, step, step == first)
            sums = _step(run, batch, step, on_micro_batch)
            upcoming = run.batch(step + 1) if step + 1 < run.steps else None
            sums[2] = float(self.stop.asked)
            if run.world.is_main:
                due_s = settings.checkpoint_minutes * 60
                sums[3] = float(self.checkpoints.is_due(time.monotonic() - saved_at, due_s))
            reader.add(step, batch.predicted_tokens, run.world.sum(sums))
            validates = self._is_due(step + 1)
            asked, save = self._report(write, reader.read(everything=validates))
            if save or asked:
                asked |= self._report(write, reader.read(everything=True))[0]
                self.checkpoints.save(step + 1, run.tensors())
                saved_at = time.monotonic()
            if asked:
                self.checkpoints.wait()
                raise KeyboardInterrupt
            if validates:
                self._validate(step + 1)
            if upcoming is not None:
                batch = upcoming
            if step % COLLECT_EVERY == 0:
                gc.collect()
                gc.freeze()

    def _on_micro_batch(
        self, step: int, is_first: bool, done: int, micro_batches: int, elapsed_s: float
    ) -> None:
        """Show the part of a step that is done."""
        if self.run.world.is_main:
            self.on_part(step + done / (micro_batches + 1))
        if is_first and done == 1 < micro_batches:
            self._log_time_left(elapsed_s, micro_batches, step)

    def _log_time_left(self, micro_s: float, micro_batches: int, step: int) -> None:
        """Log the expected time of training, if a step is so slow that it seems to hang."""
        step_s = micro_s * micro_batches
        if self.run.world.is_main and step_s > SILENT_S:
            left = self.run.steps - step
            log.info(
                "%s: about %s per step and %s for the %d steps that are left, estimated from the "
                "first of %d micro-batches",
                self.run.settings.section,
                duration(step_s),
                duration(step_s * left),
                left,
                micro_batches,
            )

    def _report(
        self, write: Callable[[Any], None], numbers: Iterable[StepNumbers]
    ) -> tuple[bool, bool]:
        """Check and write the numbers of steps; return whether one asks to stop or to save."""
        run, rows = self.run, self.run.settings.batch_sequences
        asked = save = False
        for step, predicted, (loss, norm, stop, due), step_s in numbers:
            asked, save = asked or bool(stop), save or bool(due)
            self.elapsed_s += step_s
            if predicted:
                describe = functools.partial(run.mixture.describe, step * rows, rows)
                self.loss_guard.check(step + 1, loss, norm, describe)
            metrics = self.throughput.metrics(
                step, loss if predicted else None, norm, predicted, step_s, self.elapsed_s
            )
            if run.world.is_main:
                write(asdict(metrics))
                self.track(asdict(metrics), metrics.step)
                self.on_step(metrics)
        return asked, save

    def _is_due(self, step: int) -> bool:
        every = self.run.settings.validation_every
        return step in (0, self.run.steps) or (every > 0 and step % every == 0)

    def _is_unmeasured(self, step: int) -> bool:
        """Return True if a validation after this step is due and not on disk."""
        missing = torch.zeros((), device=self.run.world.device)
        if self.run.world.is_main and self._is_due(step):
            rows = read_validation(self.directory)
            missing += all(row["step"] != step for row in rows)
        return bool(self.run.world.sum(missing).item())

    def _validate(self, step: int) -> None:
        if not self.validation:
            return
        losses = self.first_losses if step == 0 else None
        if losses is None:
            try:
                losses = mean_losses(self.run, self.validation, self.stop)
            except KeyboardInterrupt:
                if step:  # the next run repeats this validation
                    self.checkpoints.save(step, self.run.tensors())
                    self.checkpoints.wait()
                raise
        if self.run.world.is_main:
            self.write_validation({"step": step, **losses})
            self.track({f"validation/{name}": loss for name, loss in losses.items()}, step)
            losses_text = ", ".join(f"{name} {loss:.4f}" for name, loss in losses.items())
            section = self.run.settings.section
            log.info("%s: step %d, validation loss: %s", section, step, losses_text)

    @contextmanager
    def _lines(self, name: str, step: int) -> Iterator[Callable[[Mapping[str, Any]], None]]:
        """Open a file of rows; ranks other than the main one write nothing."""
        if not self.run.world.is_main:
            yield lambda row: None
            return
        with lines_after(self.directory / name, step) as write:
            yield write


def _step(
    run: TrainingRun,
    batch: TokenBatch,
    step: int,
    on_micro_batch: Callable[[int, int, float], None],
) -> Tensor:
    """Run optimizer step `step`, counted from 0, on the rows of this rank.

    `on_micro_batch` receives the number of micro-batches done, that of all, and the seconds since
    the start of the step; on a processor only, as GPUs are asynchronous.

    Returns:
        This rank's part of the mean loss; the gradient norm, on the main rank only; and two places
        for flags that the ranks exchange in the same sum. All are zero, and the weights stay as
        they are, if no row of any rank has a label (long prompts of chats, for example).
    """
    settings, world = run.settings, run.world
    if not batch.predicted_tokens:
        return torch.zeros(4, device=world.device)
    torch.manual_seed(derive_seed(settings.seed, "step", step, world.rank))
    rate = learning_rate_at(step, run.steps, settings.learning_rate, settings.warmup)
    set_learning_rate(run.optimizer, rate)
    total = torch.zeros((), device=world.device)
    began = time.monotonic()
    for number, rows in enumerate(batch.micro, start=1):
        with computing(settings, world):
            loss = run.module(*on_device(rows, world.device)) / batch.predicted_tokens
        (loss * world.size).backward()  # FSDP averages over ranks; this makes it a sum
        total += loss.detach()
        if world.device.type == "cpu":
            on_micro_batch(number, len(batch.micro), time.monotonic() - began)
    norm = clip_gradients(run.optimizer, settings.gradient_clip, world)
    run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)
    sums = torch.zeros(4, device=world.device)
    sums[0] = total
    if world.is_main:
        sums[1] = norm
    return sums


@contextmanager
def _rare_garbage_collection() -> Iterator[None]:
    """Disable automatic garbage collection, which would stop ranks at different moments."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
