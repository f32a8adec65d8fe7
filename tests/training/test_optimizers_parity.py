"""The paper's learning rate in small: what plain bfloat16 loses, and that ours do not.

The rig is the benchmark's, on a smaller model and for fewer steps.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from steep.training.config import OptimizerName

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "training" / "optimizer_parity.py"
STEPS, RATE = 60, 5e-6


class Parity:
    """All runs from one start; fp32's is the measure."""

    def __init__(self) -> None:
        spec = importlib.util.spec_from_file_location("optimizer_parity", BENCHMARK)
        assert spec is not None and spec.loader is not None
        self.benchmark: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.benchmark)
        self.rig = self.benchmark.Rig(STEPS, RATE, hidden=64)
        self.reference = self.rig.run(self.benchmark.ours("adamw"))


@pytest.fixture(scope="module")
def parity() -> Iterator[Parity]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Parity()
    torch.set_num_threads(threads)


def test_weights_rounded_to_nearest_lose_nine_tenths_of_the_movement(parity: Parity) -> None:
    nearest = parity.benchmark.plain(torch.float32, parity.benchmark.round_to_nearest)
    outcome = parity.rig.run(nearest)
    verdict = parity.rig.judge(outcome, parity.reference)
    assert not verdict.passes
    assert parity.reference.moved > 0.95
    assert outcome.moved < 0.1
    assert verdict.progress < 0.1
    assert verdict.loss_gap > 0.8
    norms = [weight for weight in outcome.weights.values() if weight.dim() == 1]
    assert all((norm == 1).all() for norm in norms)


@pytest.mark.parametrize("kind", get_args(OptimizerName)[1:])
def test_ours_make_the_progress_of_fp32(parity: Parity, kind: OptimizerName) -> None:
    verdict = parity.rig.judge(parity.rig.run(parity.benchmark.ours(kind)), parity.reference)
    assert verdict.progress == pytest.approx(1, abs=0.05)
    assert abs(verdict.loss_gap) < 0.03
    # Rounding at random is noise on top of the movement; in 60 steps it has not averaged out.
    assert verdict.cosine > (0.6 if kind == "adamw-8bit-stochastic" else 0.99)
