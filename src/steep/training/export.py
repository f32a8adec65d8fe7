"""A trained model becomes a Hugging Face directory that `from_pretrained` loads.

Sharded parameters are gathered one at a time to the host memory of the main rank, which writes; so
no device ever holds more than one whole parameter, and the main rank's host holds the model once,
in the precision in which it is saved. The directory appears when it is whole.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from steep.core.files import atomic_directory
from steep.training.lora import has_lora, merge_lora
from steep.training.model_dims import empty_model
from steep.training.parallel import World


def export_model(
    model: Any,
    tokenizer: Any,
    directory: Path,
    world: World,
    *,
    merge: bool = False,
    dtype: torch.dtype | None = None,
) -> None:
    """Write model, tokenizer and generation settings; every rank calls it.

    Args:
        model: A Hugging Face causal LM, whole or sharded by FSDP2.
        tokenizer: Saved beside it.
        directory: What is there is replaced.
        world: The ranks that share the model.
        merge: Whether there are adapters of LoRA to be added to the weights, for good.
        dtype: Of the saved weights; None: as they are.

    Raises:
        UserError: The disk is full.
    """
    assert merge == has_lora(model), "adapters cannot be saved as they are"
    if merge:
        merge_lora(model)
    state = dict(_gathered(model, dtype, world))
    if world.is_main:
        with atomic_directory(directory) as temporary:
            _write(model, state, tokenizer, temporary)
    if world.size > 1:
        torch.distributed.barrier()  # nobody says "done" before the model is there


def _gathered(model: Any, dtype: torch.dtype | None, world: World) -> Iterator[tuple[str, Tensor]]:
    """All parameters and saved buffers under their names, whole, on the main rank only.

    A tied parameter comes once, under its first name; loading ties it again.
    """
    parameters = {id(each) for each in model.parameters()}
    names = {name for name, _ in model.named_parameters()}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) in parameters and name not in names:
            continue
        whole = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
        if world.is_main:
            kept = whole.detach().to("cpu")
            yield name, kept.to(dtype) if dtype and kept.is_floating_point() else kept


def _write(model: Any, state: dict[str, Tensor], tokenizer: Any, directory: Path) -> None:
    config = copy.deepcopy(model.config)
    # FSDP has changed the class of the model itself; an empty one knows how its kind is saved.
    shell = empty_model(config).to(next(iter(state.values())).dtype)
    shell.save_pretrained(directory, state_dict=state)
    # Not by `save_pretrained`, which refuses settings that contradict each other, as those of some
    # published models do: a run must not die at its end for that.
    model.generation_config.to_json_file(directory / "generation_config.json")
    tokenizer.save_pretrained(directory)
