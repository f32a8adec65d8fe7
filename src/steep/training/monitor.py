"""What the loop watches: bad losses, requests to stop, and throughput."""

from __future__ import annotations

import logging
import math
import resource
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from steep.core.errors import UserError
from steep.tokens.mixture import Mixture
from steep.training.config import OptimizationConfig
from steep.training.metrics import StepMetrics
from steep.training.model_dims import flops_per_token, mfu, peak_flops
from steep.training.optimizers import learning_rate_at
from steep.training.parallel import World, device_name
from steep.training.throughput import workload_of

log = logging.getLogger("steep")

REMEMBERED_STEPS = 20


@dataclass
class LossGuard:
    """Stops a run at a loss or gradient norm that is not finite, and at a loss that jumps.

    Nothing is masked: the error names the batch, and weights after such a batch are never saved.
    """

    settings: OptimizationConfig
    _losses: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED_STEPS))

    def check(self, step: int, loss: float, norm: float, batch: Callable[[], str]) -> None:
        """Check the numbers of a step, from 1; `batch` describes its rows.

        Raises:
            UserError: A number is not finite, or the loss has jumped.
        """
        section, max_loss_jump = self.settings.section, self.settings.max_loss_jump
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise UserError(
                f"The loss is {loss} and the gradient norm {norm} at step {step}.",
                where=f"training {batch()}",
                hint=f"lower {section}.learning_rate; the last good checkpoint is kept",
            )
        if max_loss_jump is not None and len(self._losses) == REMEMBERED_STEPS:
            usual = sum(self._losses) / REMEMBERED_STEPS
            if loss > usual + max_loss_jump:
                raise UserError(
                    f"The loss jumped to {loss:.3f} at step {step}.",
                    where=f"training {batch()}",
                    expected=f"at most {max_loss_jump} nats above {usual:.3f}, the mean of "
                    f"the {REMEMBERED_STEPS} steps before",
                    hint=f"check these texts, or raise {section}.max_loss_jump; the last good "
                    "checkpoint is kept",
                )
        self._losses.append(loss)


class StepNumbers(NamedTuple):
    """What the ranks know together of a step, which is counted from 0.

    `values` are the loss, the gradient norm, and whether to stop and to save after it.
    """

    step: int
    predicted_tokens: int
    values: list[float]
    step_s: float


class StepReader:
    """Reads numbers of steps from the device: on a GPU one step late, so that it never idles.

    The seconds of a step are those between its numbers and those of the step before, or from its
    start if nothing was in flight.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._late = steps_late(device)
        self._waiting: deque[tuple[int, int, Tensor, torch.cuda.Event | None]] = deque()
        self._since = 0.0

    def start(self) -> None:
        """Note the start of a step."""
        if not self._waiting:
            self._since = time.monotonic()

    def add(self, step: int, predicted_tokens: int, values: Tensor) -> None:
        """Start to copy the values of a step to the host, before the next one is queued."""
        copied = None
        if self._device.type == "cuda":
            on_host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            values = on_host.copy_(values, non_blocking=True)
            copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            copied.record()
        self._waiting.append((step, predicted_tokens, values, copied))

    def read(self, everything: bool) -> Iterator[StepNumbers]:
        """Wait for the numbers that are due, or for all of them."""
        while len(self._waiting) > (0 if everything else self._late):
            step, predicted_tokens, values, copied = self._waiting.popleft()
            if copied is not None:
                copied.synchronize()
            now, before = time.monotonic(), self._since
            self._since = now
            yield StepNumbers(step, predicted_tokens, values.tolist(), now - before)


def steps_late(device: torch.device) -> int:
    """Return how many steps may be in flight when the numbers of one are read."""
    return 1 if device.type == "cuda" else 0


@dataclass
class InterruptFlag:
    """True after Ctrl-C or SIGTERM."""

    asked: bool = False


@contextmanager
def asked_to_stop(section: str, saves: bool) -> Iterator[InterruptFlag]:
    """Turn the first Ctrl-C or SIGTERM into a flag; the second one ends the process as usual.

    The loop finishes and saves the current step. A validation is abandoned instead; the next run
    repeats it. `saves` is false if no checkpoints are written.
    """
    stop = InterruptFlag()

    def ask(number: int, frame: Any) -> None:
        stop.asked = True
        for each in handlers:
            signal.signal(each, handlers[each])
        if saves:
            log.info(
                "%s: stopping after this step, which is saved; press Ctrl-C again to stop at once "
                "and lose the steps since the last checkpoint",
                section,
            )
        else:
            log.info(
                "%s: stopping; nothing is saved, as %s.keep_checkpoints is 0",
                section,
                section,
            )

    handlers: dict[signal.Signals, Any] = {}
    try:
        for each in (signal.SIGINT, signal.SIGTERM):
            handlers[each] = signal.signal(each, ask)
    except ValueError:  # not in the main thread: launchers stop such workers differently
        pass
    try:
        yield stop
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


class ThroughputMeter:
    """Turns the seconds of a step into its metrics."""

    def __init__(
        self,
        model: nn.Module,
        mixture: Mixture,
        settings: OptimizationConfig,
        steps: int,
        world: World,
    ) -> None:
        self._mixture, self._settings, self._steps, self._world = mixture, settings, steps, world
        self._flops = flops_per_token(model, mixture.context_tokens)
        self._peak = peak_flops(world.device)
        self._step_s = 0.0  # of the last step that was not skipped

    def workload(self) -> dict[str, Any]:
        """Return what decides the speed of a step."""
        world = self._world
        return workload_of(device_name(world.device), world.size, self._flops, self._settings)

    def metrics(
        self,
        step: int,
        loss: float | None,
        norm: float,
        predicted_tokens: int,
        step_s: float,
        elapsed_s: float,
    ) -> StepMetrics:
        """Return the metrics of step `step`, counted from 0, which took `step_s` seconds."""
        settings, mixture, world = self._settings, self._mixture, self._world
        steps, tokens = self._steps, settings.batch_sequences * mixture.context_tokens
        skipped = loss is None
        if not skipped:
            self._step_s = step_s
        rate = 0.0 if skipped else tokens / step_s
        return StepMetrics(
            step=step + 1,
            tokens=(step + 1) * tokens,
            loss=loss,
            learning_rate=learning_rate_at(step, steps, settings.learning_rate, settings.warmup),
            grad_norm=norm,
            tokens_per_s=rate,
            elapsed_s=elapsed_s,
            epoch=mixture.epochs((step + 1) * settings.batch_sequences),
            predicted_tokens=predicted_tokens,
            mfu=None if skipped else mfu(rate, self._flops, self._peak, world.size),
            memory_bytes=_memory_bytes(world.device),
            left_s=(steps - step - 1) * self._step_s,
        )


def _memory_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
