"""Load the model of a run; with several ranks, none of them holds all of it.

One rank loads the model as transformers does. Several ranks create it without parameters, shard it
and fill the shards: each reads its own rows from the safetensors of a directory. If the tensors of
the files are not the parameters one to one, the main rank loads the whole model into its host
memory and sends it tensor by tensor. These are models that transformers converts while it loads
them (experts of a mixture, for example), pickled weights, names on the Hub, and LoRA.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from steep.training.config import OptimizationConfig
from steep.training.loading import (
    INDEX,
    WEIGHTS,
    SafetensorsFiles,
    check_numbers,
    load_model,
    load_model_config,
)
from steep.training.parallel import World, local_part
from steep.training.prepare import weight_dtype

log = logging.getLogger("steep")


def open_model(
    name: Path | str, settings: OptimizationConfig, world: World
) -> tuple[Any, Callable[[nn.Module], None] | None]:
    """Return the model of a run, with adapters if configured, in the precision of its weights.

    Returns:
        The loaded model and None; with several ranks, a model whose parameters are empty, and the
        function that fills them after sharding. It is called on every rank.

    Raises:
        UserError: The model cannot be loaded, or has weights that are NaN or infinite. The function
            raises it on all ranks.
    """
    if world.size == 1:
        return _loaded(name, settings), None
    return _empty(name, settings), partial(_fill, name, settings, world)


def _loaded(name: Path | str, settings: OptimizationConfig) -> Any:
    model = load_model(name, weight_dtype(settings))
    if not Path(name).is_dir():  # a directory was checked before tokenization
        check_numbers(name, model.named_parameters())
    return _with_adapters(model, settings)


def _with_adapters(model: Any, settings: OptimizationConfig) -> Any:
    if settings.lora_rank is None:
        return model
    from steep.training.lora import add_lora

    return add_lora(model, settings.lora_rank, settings.lora_alpha, seed=settings.seed)


def _empty(name: Path | str, settings: OptimizationConfig) -> Any:
    """Return the model with its buffers, and without the values of its parameters."""
    from accelerate import init_empty_weights
    from transformers import AutoModelForCausalLM, GenerationConfig

    config = load_model_config(name)
    with init_empty_weights(include_buffers=False):
        model = AutoModelForCausalLM.from_config(config, dtype=weight_dtype(settings))
    model.tie_weights()
    with suppress(OSError):  # without a file, the settings of the configuration remain
        model.generation_config = GenerationConfig.from_pretrained(name)
    return _with_adapters(model, settings)


def _fill(name: Path | str, settings: OptimizationConfig, world: World, module: nn.Module) -> None:
    """Give the shards of an empty model memory on the device of this rank, and their values."""
    model: Any = module.model
    buffers = {key: buffer.clone() for key, buffer in model.named_buffers()}
    module.to_empty(device=world.device)
    for key, buffer in model.named_buffers():
        buffer.copy_(buffers[key])
    model.tie_weights()
    module.to(world.device)  # FSDP looks up the tied parameters again
    same = partial(_has_parameters_as_tensors, Path(name), model, settings)
    if all(world.together(same)):
        world.together(partial(_read_shards, Path(name), model, world))
    else:
        _receive(name, settings, world, model)


def _has_parameters_as_tensors(path: Path, model: Any, settings: OptimizationConfig) -> bool:
    """Return whether the files of a model hold its parameters under their names, as they are."""
    from transformers.conversion_mapping import get_model_conversion_mapping

    files = (path / WEIGHTS, path / INDEX)
    if settings.lora_rank is not None or not any(each.is_file() for each in files):
        return False
    if hasattr(model.config, "quantization_config"):
        return False
    if get_model_conversion_mapping(model, add_legacy=False):
        return False
    parameters = {key: list(each.shape) for key, each in model.named_parameters()}
    tied = {key for key, _ in model.named_parameters(remove_duplicate=False)}
    with ExitStack() as stack:
        weights = SafetensorsFiles(path, stack)
        return (
            set(model.state_dict()) == tied  # a buffer in the files would be left out
            and parameters.keys() <= weights.keys
            and all(weights.shape(key) == shape for key, shape in parameters.items())
        )


@torch.no_grad()
def _read_shards(path: Path, model: Any, world: World) -> None:
    """Read the rows of each parameter that this rank holds, cut as by `torch.chunk`."""
    with ExitStack() as stack:
        weights = SafetensorsFiles(path, stack)
        for key, parameter in model.named_parameters():
            part = local_part(parameter)
            first = world.rank * math.ceil(len(parameter) / world.size)
            if part.numel():
                part.copy_(weights.rows(key, first, first + len(part)))


@torch.no_grad()
def _receive(name: Path | str, settings: OptimizationConfig, world: World, model: Any) -> None:
    """Load the whole model on the main rank, and send each tensor to all ranks."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

    if world.is_main:
        log.info(
            "%s: the main rank loads the model and sends it to all: the ranks cannot read their "
            "parts from the files of %s",
            settings.section,
            name,
        )
    whole: list[Any] = []
    world.on_main(lambda: whole.append(_loaded(name, settings)))
    state = whole[0].state_dict() if whole else {}
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
    set_model_state_dict(model, state, options=options)
    loaded = dict(whole[0].named_buffers()) if whole else {}
    for key, buffer in model.named_buffers():
        if whole:
            buffer.copy_(loaded[key])
        dist.broadcast(buffer, src=0)
