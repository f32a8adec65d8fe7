from __future__ import annotations

import ctypes
import gc
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_flops import LLAMA_3_8B, tiny
from training_setup import changed
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from steep.core.errors import UserError
from steep.core.formatting import GIB, gib
from steep.training import memory
from steep.training.config import OptimizationConfig, OptimizerName
from steep.training.loss import CausalLoss
from steep.training.memory import (
    KEPT,
    LIBRARIES,
    HostMemory,
    MemoryEstimate,
    _working,
    check_disk,
    check_memory,
    estimate_memory,
    host_memory,
)
from steep.training.model_dims import empty_model, shape_of
from steep.training.optimizers import make_optimizer, state_tensors
from steep.training.parallel import World

KINDS: tuple[OptimizerName, ...] = ("adamw", "adamw-8bit-stochastic")
SETTINGS = OptimizationConfig(micro_batch_sequences=4, compute="float32", compile="none")
ON_A_GPU = changed(SETTINGS, compute="bfloat16", compile="layers")
SHORT = changed(SETTINGS, context_tokens=64)
ALONE = World(0, 1, 0, torch.device("cpu"))
ON_ONE_GPU = World(0, 1, 0, torch.device("cuda", 0))


@pytest.fixture(scope="module")
def shape_8b() -> Any:
    return shape_of(empty_model(LLAMA_3_8B))


@pytest.mark.parametrize(
    ("kind", "states_gib"), [*zip(KINDS, [119.7, 45.1], strict=True)], ids=KINDS
)
def test_states_of_8b_parameters(shape_8b: Any, kind: OptimizerName, states_gib: float) -> None:
    for ranks in (1, 8):
        parts = estimate_memory(shape_8b, changed(ON_A_GPU, optimizer=kind), ranks).parts
        states = sum(parts[name] for name in ("weights", "gradients", "moments"))
        assert states / GIB == pytest.approx(states_gib / ranks, rel=0.005)


def test_8b_on_one_gpu_of_80_gb(shape_8b: Any) -> None:
    """Four sequences at once fit, eight only where some layers are computed again."""
    lean = changed(ON_A_GPU, optimizer="adamw-8bit-stochastic")

    def total(**changes: Any) -> float:
        return estimate_memory(shape_8b, changed(lean, **changes)).total / GIB

    assert total() < 77 < total(micro_batch_sequences=8)
    assert total(micro_batch_sequences=8, recompute_every=2) < 79
    assert total(recompute_every=1) < total(recompute_every=2) < total(recompute_every=4) < total()
    assert total(compile="none") > total() + 10


def test_activations_of_a_row_at_8b(shape_8b: Any) -> None:
    def activations(**changes: Any) -> float:
        settings = changed(ON_A_GPU, micro_batch_sequences=1, optimizer=KINDS[-1], **changes)
        return _working(shape_8b, settings, 1)["activations"] / GIB

    assert activations() == pytest.approx(5.8, rel=0.01)
    assert activations(recompute_every=1) == pytest.approx(0.5, rel=0.15)
    assert activations(compile="none") == pytest.approx(12.3, rel=0.01)


def kept_per_layer(precision: str, sizes: dict[str, int]) -> float:
    """Bytes a token that autograd keeps of one layer, but for autocast's copies of its weights."""

    def kept(layers: int) -> int:
        autocast = precision == "autocast"
        dtype = torch.float32 if autocast else getattr(torch, precision)
        model: Any = LlamaForCausalLM(LlamaConfig(**sizes, num_hidden_layers=layers)).to(dtype)
        weights = {each.untyped_storage().data_ptr() for each in model.parameters()}
        storages: dict[int, Any] = {}

        def note(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                storages[storage.data_ptr()] = storage
            return tensor

        with (
            torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
            torch.autocast("cpu", torch.bfloat16, enabled=autocast),
        ):
            output = model.base_model(input_ids=torch.zeros(2, 64, dtype=torch.long))
        total: int = sum(storage.nbytes() for storage in storages.values())
        del output
        return total

    matrices = sizes["hidden_size"] * (
        2 * sizes["hidden_size"] + 2 * sizes["hidden_size"] // 2 + 3 * sizes["intermediate_size"]
    )
    copies = 2 * matrices if precision == "autocast" else 0
    return (kept(3) - kept(1) - 2 * copies) / 2 / (2 * 64)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "autocast"])
def test_a_layer_keeps_what_the_table_says(precision: str) -> None:
    sizes = {
        "vocab_size": 50,
        "hidden_size": 128,
        "intermediate_size": 352,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }
    hidden, attention, intermediate = KEPT[precision, "none"]
    expected = hidden * 128 + attention * (128 + 64) + intermediate * 352
    assert kept_per_layer(precision, sizes) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_has_the_bytes_of_its_tensors(kind: OptimizerName) -> None:
    config = tiny(hidden_size=64, intermediate_size=96)
    model = LlamaForCausalLM(config).to(torch.float32 if kind == "adamw" else torch.bfloat16)
    settings = changed(SETTINGS, optimizer=kind)
    optimizer = make_optimizer(model.named_parameters(), settings)
    tensors = [*model.parameters(), *state_tensors(optimizer).values()]
    written = sum(each.nbytes for each in tensors if each.dim())
    estimate = estimate_memory(shape_of(model), settings)
    assert estimate.checkpoint_bytes == written
    assert estimate.export_bytes == sum(each.nbytes for each in model.parameters())


@given(
    kind=st.sampled_from(KINDS),
    ranks=st.sampled_from([1, 2, 16]),
    micro=st.integers(1, 16),
    every=st.integers(0, 3),
    compiled=st.sampled_from(["none", "layers"]),
)
def test_more_never_takes_less(
    shape_8b: Any, kind: OptimizerName, ranks: int, micro: int, every: int, compiled: Any
) -> None:
    settings = changed(
        ON_A_GPU,
        context_tokens=1024,
        optimizer=kind,
        micro_batch_sequences=micro,
        recompute_every=every,
        compile=compiled,
    )
    estimate = estimate_memory(shape_8b, settings, ranks)
    assert estimate.total == sum(estimate.parts.values())
    assert min(estimate.parts.values()) >= 0
    larger = changed(settings, micro_batch_sequences=micro + 1)
    assert estimate_memory(shape_8b, larger, ranks).total >= estimate.total
    longer = changed(settings, context_tokens=2048)
    assert estimate_memory(shape_8b, longer, ranks).total >= estimate.total
    assert estimate_memory(shape_8b, settings, 2 * ranks).checkpoint_bytes == (
        estimate.checkpoint_bytes
    )


def test_the_line_has_parts_that_add_up(shape_8b: Any) -> None:
    line = estimate_memory(shape_8b, ON_A_GPU, available=79 * GIB).line()
    total, *parts = map(float, re.findall(r"[\d.]+(?= |$)", line.replace("of 79.0", "")))
    assert line.startswith("memory: about ")
    assert " of 79.0 GiB = moments 59.8 GiB + " in line
    assert sum(parts) == pytest.approx(total, abs=0.3)


def high_water(step: Callable[[], None]) -> int:
    """Bytes by which `step` raised the memory of this process at its highest moment."""
    status, clear = Path("/proc/self/status"), Path("/proc/self/clear_refs")

    def field(name: str) -> int:
        found = re.search(rf"{name}:\s+(\d+) kB", status.read_text())
        assert found
        return int(found[1]) * 1024

    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # what earlier tests have freed goes back
    clear.write_text("5")  # the high-water mark starts anew
    before = field("VmRSS")
    step()
    return field("VmHWM") - before


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
@pytest.mark.parametrize(("kind", "micro"), [("adamw", 8), ("adamw", 1), (KINDS[1], 1)])
def test_a_real_step_takes_what_was_estimated(kind: OptimizerName, micro: int) -> None:
    """Never more, and at least 0.6 times as much without the allowance for libraries."""
    dtype = torch.float32 if kind == "adamw" else torch.bfloat16
    config = LlamaConfig(
        vocab_size=4096,
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    precision: Any = "float32" if kind == "adamw" else "bfloat16"
    settings = changed(
        SETTINGS, optimizer=kind, compute=precision, micro_batch_sequences=micro, context_tokens=128
    )

    def two_micro_batches() -> None:
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
        optimizer = make_optimizer(model.named_parameters(), settings)
        loss = CausalLoss(model, dtype)
        ids_BT = torch.zeros(micro, 128, dtype=torch.long)
        for _ in range(2):
            loss(ids_BT, ids_BT, None).backward()
        optimizer.step()

    estimate = estimate_memory(shape_of(empty_model(config)), settings)
    taken = high_water(two_micro_batches)
    least = 0.6 * (estimate.total - LIBRARIES)
    assert least < taken < estimate.total, (gib(least), gib(taken), estimate.line())


def refused(model: Path, settings: OptimizationConfig, room: int) -> str:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(UserError) as caught:
        patch.setattr(memory, "available_memory", lambda device: room)
        check_memory(model, settings, ON_ONE_GPU)
    return str(caught.value)


def test_a_run_that_cannot_fit_is_told_what_helps(tmp_path: Path) -> None:
    LLAMA_3_8B.save_pretrained(tmp_path)
    settings = changed(ON_A_GPU, optimizer="adamw")
    said = refused(tmp_path, settings, 80 * GIB)
    assert "its largest part is the moments" in said
    assert "at most 80.0 GiB" in said
    assert "lower train.micro_batch_sequences, or set train.recompute_every to 1" in said
    assert "set train.optimizer to adamw-8bit-stochastic, or use more devices" in said
    lean = changed(
        settings,
        optimizer="adamw-8bit-stochastic",
        micro_batch_sequences=1,
        recompute_every=1,
        batch_sequences=1,
    )
    assert "do:       take a smaller model" in refused(tmp_path, lean, GIB)


def test_the_host_must_hold_the_model_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    LLAMA_3_8B.save_pretrained(tmp_path)
    settings = changed(ON_A_GPU, optimizer=KINDS[-1], micro_batch_sequences=2)
    monkeypatch.setattr(memory, "available_memory", lambda device: 79 * GIB)
    monkeypatch.setattr(memory, "host_memory", lambda: HostMemory(64 * GIB, 64 * GIB))
    assert check_memory(tmp_path, settings, ON_ONE_GPU).available == 79 * GIB
    assert not caplog.messages
    monkeypatch.setattr(memory, "host_memory", lambda: HostMemory(64 * GIB, 24 * GIB))
    check_memory(tmp_path, settings, ON_ONE_GPU)
    assert "30.2 GiB are needed, and 24.0 GiB of 64.0 GiB are free now" in caplog.text
    monkeypatch.setattr(memory, "host_memory", lambda: HostMemory(24 * GIB, 20 * GIB))
    with pytest.raises(UserError, match="beside the GPUs is too small") as caught:
        check_memory(tmp_path, settings, ON_ONE_GPU)
    assert "30.2 GiB: the model while it is loaded or written (15.0 GiB)" in str(caught.value)


def test_a_machine_holds_the_model_once_and_the_copies_of_its_ranks() -> None:
    estimate = MemoryEstimate({}, None, checkpoint_bytes=400, export_bytes=160)
    assert estimate.host_bytes(1, 1) == 400
    assert estimate.host_bytes(8, 8) == 400, "not eight models"
    assert estimate.host_bytes(16, 8) == 200
    assert estimate.host_bytes(16, 1) == 160


def test_a_run_that_fits_is_estimated(tiny_directory: Path) -> None:
    estimate = check_memory(tiny_directory, SHORT, ALONE)
    assert estimate.available is not None and estimate.total <= estimate.available
    assert estimate.available <= host_memory().free * 2  # type: ignore[union-attr]


def test_adapters_have_small_states(tiny_directory: Path) -> None:
    whole = check_memory(tiny_directory, SHORT, ALONE)
    adapters = check_memory(tiny_directory, changed(SHORT, lora_rank=2, lora_alpha=4.0), ALONE)
    assert adapters.parts["moments"] < whole.parts["moments"] / 5
    assert adapters.parts["weights"] > whole.parts["weights"]
    assert adapters.checkpoint_bytes < whole.checkpoint_bytes / 5


def test_a_model_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Cannot load the configuration"):
        check_memory(tmp_path, SHORT, ALONE)


def test_the_limit_of_a_control_group_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    (tmp_path / "memory.stat").write_text("anon 300000\ninactive_file 100000\n")
    assert list(memory._room(tmp_path, "memory.max", "memory.current", "inactive_file")) == [
        (1_000_000, 700_000)
    ]
    (tmp_path / "memory.max").write_text("max\n")
    assert not list(memory._room(tmp_path, "memory.max", "memory.current", "inactive_file"))
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "nowhere")
    assert host_memory() is None


def test_a_disk_without_room_is_refused(tmp_path: Path) -> None:
    small = MemoryEstimate({}, None, 1000, 1000)
    check_disk(tmp_path / "not" / "there", small, changed(SETTINGS, keep_checkpoints=3))
    large = replace(small, checkpoint_bytes=2**60)
    with pytest.raises(UserError, match="no room for the checkpoints") as caught:
        check_disk(tmp_path, large, SETTINGS)
    assert "2 checkpoints (one is being written)" in str(caught.value)


def test_checkpoints_that_are_there_count_as_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: _Usage(free=2500))
    estimate = MemoryEstimate({}, None, 1000, 1000)
    with pytest.raises(UserError):
        check_disk(tmp_path, estimate, SETTINGS)
    (tmp_path / "checkpoint-00000001").mkdir()
    (tmp_path / "checkpoint-00000001" / "state").write_bytes(b"0" * 1000)
    check_disk(tmp_path, estimate, SETTINGS)


class _Usage:
    def __init__(self, free: int) -> None:
        self.free = free
