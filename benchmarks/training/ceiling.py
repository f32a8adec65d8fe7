"""The ceiling: a step's matrix products and nothing else, as plain `torch.mm`.

For every linear layer and the head, with the tokens of a micro-batch: the product of the forward
pass, and the two of the backward pass (by the input, by the weight). Attention, norms, activation
functions, the loss and the optimizer are left out, so nothing that trains this model with these
products in this precision can be faster.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch
from benchmarks.training.job import Job, Outcome, random_model
from benchmarks.training.recorder import Recorder
from torch import Tensor, nn

REPEATS = 5  # of a product's measurement, of which the median counts
SHORTEST_S = 0.1  # of one measurement


@dataclass(frozen=True)
class Ceiling:
    """Products in one precision."""

    dtype: str

    def run(self, job: Job, recorder: Recorder) -> None:
        """Measure; a step is the sum of its products."""
        dtype = getattr(torch, self.dtype)
        micro_tokens = job.micro_sequences * job.sizes.context_tokens
        passes = job.step_tokens // micro_tokens
        shapes = product_shapes(job)
        found = {shape: triple(micro_tokens, *shape, dtype, job.device) for shape in shapes}
        step_s, cpu_s = (
            passes * sum(count * found[shape][which] for shape, count in shapes.items())
            for which in (0, 1)
        )
        on_cpu = job.device == "cpu"
        recorder.given = Outcome([step_s] * job.steps, [cpu_s] * job.steps * on_cpu)
        flops = sum(6 * shape[0] * shape[1] * count for shape, count in shapes.items())
        rate = flops * job.step_tokens / step_s / 1e12
        rows = f"{job.micro_sequences} rows at once"
        recorder.settings = f"{self.dtype}, {rate:.3g} TFLOP/s, {rows}"


def product_shapes(job: Job) -> Counter[tuple[int, int]]:
    """How many linear layers of each (out, in) a token goes through, the head included."""
    model = random_model(job.sizes, "meta", torch.bfloat16)
    linear = [each for each in model.modules() if isinstance(each, nn.Linear)]
    return Counter((each.out_features, each.in_features) for each in linear)


def triple(
    tokens: int, rows: int, columns: int, dtype: torch.dtype, device: str
) -> tuple[float, float]:
    """Seconds, and seconds of processors, of the three products of one linear layer."""
    input_NC, weight_RC, gradient_NR = (
        torch.randn(shape, device=device).to(dtype)
        for shape in ((tokens, columns), (rows, columns), (tokens, rows))
    )

    def multiply() -> tuple[Tensor, Tensor, Tensor]:
        return input_NC @ weight_RC.T, gradient_NR @ weight_RC, gradient_NR.T @ input_NC

    wait = torch.cuda.synchronize if device == "cuda" else _nothing
    once_s = min(_seconds(multiply, 1, wait)[0] for _ in range(2))
    count = max(1, round(SHORTEST_S / once_s))
    found = [_seconds(multiply, count, wait) for _ in range(REPEATS)]
    wall_s, cpu_s = (statistics.median(column) for column in zip(*found, strict=True))
    return wall_s, cpu_s


def _seconds(
    function: Callable[[], object], count: int, wait: Callable[[], object]
) -> tuple[float, float]:
    wait()
    began, cpu_began = time.perf_counter(), time.process_time()
    for _ in range(count):
        function()
    wait()
    return (time.perf_counter() - began) / count, (time.process_time() - cpu_began) / count


def _nothing() -> None:
    """A processor is done when a function returns."""
