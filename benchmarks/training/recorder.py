"""Clocks of a training process: steps, the phases of a step, the profiler, the GPU's own sensors.

On a GPU all times but those of reading rows are between CUDA events, which wait for nothing; they
are read when all is done. A contestant says `step_done` after each optimizer step, and the recorder
goes from warm-up to counted steps, to steps whose phases are timed, to steps that are profiled: the
counted ones carry no instrument but one event each.
"""

from __future__ import annotations

import re
import resource
import shutil
import statistics
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from benchmarks.training.job import Job, Outcome
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

KERNELS_SHOWN = 40
ATTENTION = re.compile(r"flash|fmha|sdp|attention|cudnn_generated", re.IGNORECASE)
SENSORS = {
    "clocks.sm": "MHz SM clock",
    "clocks.mem": "MHz memory clock",
    "power.draw": "W",
    "temperature.gpu": "C",
}


class Recorder:
    """Everything that is measured in one process, see the module."""

    def __init__(self, job: Job, on_counted: Callable[[Outcome], None] = lambda _: None) -> None:
        """`on_counted` receives what is known after the last counted step."""
        self.job = job
        self._on_counted = on_counted
        self.on_gpu = job.device == "cuda"
        self.timing = False
        self.settings = ""  # of the contestant, in words
        self.losses: list[Any] = []  # one per step or, in the same order, per micro-batch
        self.given: Outcome | None = None  # by a contestant that makes no steps
        self._cpu_s = [time.process_time()]
        self._began = self._mark()
        self._steps: list[Any] = []
        self._phases: dict[str, list[tuple[Any, Any]]] = defaultdict(list)
        self._host_s: dict[str, float] = defaultdict(float)
        self._profiler: Any = None
        self._sensors = Sensors() if self.on_gpu else None
        self._open: list[Any] = []
        self._hooks = [
            register_optimizer_step_pre_hook(lambda *_: self._open.append(self._mark())),
            register_optimizer_step_post_hook(lambda *_: self._close("optimizer")),
        ]

    def step_done(self) -> None:
        """An optimizer step has been asked of the device."""
        job, done = self.job, len(self._steps) + 1
        self._steps.append(self._mark())
        self._cpu_s.append(time.process_time())
        counted = job.warmup + job.steps
        if done == job.warmup and self._sensors:
            self._sensors.start()
        if done == counted:
            if self._sensors:
                self._sensors.stop()
            self._on_counted(self.outcome())
        self.timing = counted <= done < counted + job.timed
        if job.profiled and done == counted + job.timed:
            self._profiler = _profiler(self.on_gpu)
            self._profiler.start()
        if job.profiled and done == job.all_steps:
            self._wait()
            self._profiler.stop()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a part of a step on the device."""
        if not self.timing:
            yield
            return
        began = self._mark()
        yield
        self._phases[name].append((began, self._mark()))

    @contextmanager
    def host_phase(self, name: str) -> Iterator[None]:
        """Time what the processor does, which the device may not wait for."""
        began = time.perf_counter()
        yield
        if self.timing:
            self._host_s[name] += time.perf_counter() - began

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function whose calls are a phase."""

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self.phase(name):
                return function(*args, **kwargs)

        return call

    def close(self) -> None:
        """Record no more."""
        for hook in self._hooks:
            hook.remove()

    def outcome(self) -> Outcome:
        """What was measured so far."""
        self._wait()
        device = torch.cuda.get_device_name() if self.on_gpu else ""
        if self.given:
            return replace(
                self.given,
                peak_bytes=self._peak_bytes(),
                settings=self.settings,
                device=device,
            )
        job, marks = self.job, [self._began, *self._steps]
        spans = [self._between(*pair) for pair in pairwise(marks)]
        counted = slice(job.warmup, job.warmup + job.steps)
        cpu_s = [second - first for first, second in pairwise(self._cpu_s)]
        outcome = Outcome(
            step_s=spans[counted],
            step_cpu_s=[] if self.on_gpu else cpu_s[counted],
            startup_s=sum(spans[: job.warmup]),
            losses=self._step_losses(),
            peak_bytes=self._peak_bytes(),
            settings=self.settings,
            device=device,
            clocks=self._sensors.summary() if self._sensors else "",
        )
        if job.timed and len(spans) > counted.stop:
            whole = spans[counted.stop :][: job.timed]
            outcome.phases_ms = self._phases_ms(sum(whole))
        if self._profiler:
            self._add_kernels(outcome)
        return outcome

    def _step_losses(self) -> list[float]:
        """The losses of the steps: sums over micro-batches, where those were recorded."""
        micro = max(1, len(self.losses) // len(self._steps))
        losses = [float(loss) for loss in self.losses]
        return [sum(losses[start : start + micro]) for start in range(0, len(losses), micro)]

    def _phases_ms(self, whole_s: float) -> dict[str, float]:
        parts_s = {
            name: sum(self._between(*pair) for pair in pairs)
            for name, pairs in self._phases.items()
        }
        # The head's loss is computed within the forward pass, and its gradient with it.
        if "forward" in parts_s:
            parts_s["forward"] -= parts_s.get("loss head", 0.0)
        parts_s["rest"] = whole_s - sum(parts_s.values())
        parts_s["whole"] = whole_s
        parts_s |= {f"{name} (host)": seconds for name, seconds in self._host_s.items()}
        return {name: 1000 * seconds / self.job.timed for name, seconds in parts_s.items()}

    def _add_kernels(self, outcome: Outcome) -> None:
        averages = self._profiler.key_averages()
        key = "self_cuda_time_total" if self.on_gpu else "self_cpu_time_total"
        outcome.kernels = averages.table(sort_by=key, row_limit=KERNELS_SHOWN)
        found = [event.key for event in averages if event.self_device_time_total or not self.on_gpu]
        outcome.attention = [name for name in found if ATTENTION.search(name)]
        name = re.sub(r"\W+", "-", self.job.contestant).strip("-").lower()
        Path(self.job.out, f"{name}.kernels.txt").write_text(outcome.kernels)

    def _close(self, name: str) -> None:
        began = self._open.pop()
        if self.timing and not self._open:  # a wrapped optimizer steps within its wrapper
            self._phases[name].append((began, self._mark()))

    def _mark(self) -> Any:
        if not self.on_gpu:
            return time.perf_counter()
        event: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def _between(self, first: Any, second: Any) -> float:
        """Seconds."""
        span: float = first.elapsed_time(second) / 1000 if self.on_gpu else second - first
        return span

    def _wait(self) -> None:
        if self.on_gpu:
            torch.cuda.synchronize()

    def _peak_bytes(self) -> int:
        if self.on_gpu:
            return torch.cuda.max_memory_reserved()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _profiler(on_gpu: bool) -> Any:
    activities = [torch.profiler.ProfilerActivity.CPU]
    if on_gpu:
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    return torch.profiler.profile(activities=activities, acc_events=True)


class Sensors:
    """Clocks and power as `nvidia-smi` reads them, twice a second."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lines: list[str] = []

    def start(self) -> None:
        """Begin to read."""
        if shutil.which("nvidia-smi"):
            command = ["nvidia-smi", f"--query-gpu={','.join(SENSORS)}", "--id=0", "-lms", "500"]
            command.append("--format=csv,noheader,nounits")
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def stop(self) -> None:
        """Read no more."""
        if self._process:
            self._process.terminate()
            self._lines = self._process.communicate()[0].splitlines()

    def summary(self) -> str:
        """Medians, in words."""
        if not self._lines:
            return "skipped because nvidia-smi said nothing"
        columns = zip(*(line.split(",") for line in self._lines), strict=False)
        medians = (_median(column) for column in columns)
        read = zip(medians, SENSORS.values(), strict=False)
        return ", ".join(f"{median:,.0f} {unit}" for median, unit in read if median is not None)


def _median(column: tuple[str, ...]) -> float | None:
    """The median of the readings that are numbers: some cards do not tell."""
    numbers = [float(each) for each in column if re.fullmatch(r"\s*[\d.]+\s*", each)]
    return statistics.median(numbers) if numbers else None
