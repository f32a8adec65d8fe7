"""Export of a trained model as a Hugging Face directory.

Sharded parameters are gathered one at a time into the host memory of the main rank, which writes
them: no device holds more than one whole parameter, and the host of the main rank holds the model
once, in the precision in which it is saved. The directory appears when it is complete.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from steep.core.files import atomic_directory
from steep.training.lora import has_lora, merge_lora
from steep.training.model_dims import empty_model
from steep.training.parallel import World


def export_model(model: Any, tokenizer: Any, directory: Path, world: World) -> None:
    """Write model, tokenizer and generation settings, with adapters merged.

    Called on every rank; none continues before the model is written. An existing directory is
    replaced.

    Raises:
        UserError: The disk is full.
    """
    if has_lora(model):
        merge_lora(model)
    state = dict(_gathered(model, world))

    def write() -> None:
        with atomic_directory(directory) as temporary:
            _write(model, state, tokenizer, temporary)

    world.on_main(write)


def _gathered(model: Any, world: World) -> Iterator[tuple[str, Tensor]]:
    """Return all parameters and persistent buffers by name, unsharded, on the main rank only.

    A tied parameter is listed once, under its first name; loading ties it again.
    """
    state = model.state_dict(keep_vars=True)  # first: it reshards parameters, as new objects
    parameters = {id(each) for each in model.parameters()}
    names = {name for name, _ in model.named_parameters()}
    for name, tensor in state.items():
        if id(tensor) in parameters and name not in names:
            continue
        whole = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
        if world.is_main:
            yield name, whole.detach().to("cpu")


def _write(model: Any, state: dict[str, Tensor], tokenizer: Any, directory: Path) -> None:
    config = copy.deepcopy(model.config)
    # FSDP has changed the class of the model; an empty model has the original class.
    shell = empty_model(config).to(next(iter(state.values())).dtype)
    shell.save_pretrained(directory, state_dict=state)
    # `save_pretrained` would refuse the contradictory settings of some published models.
    model.generation_config.to_json_file(directory / "generation_config.json")
    tokenizer.save_pretrained(directory)
