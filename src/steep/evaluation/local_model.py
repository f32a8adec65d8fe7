"""Load a model under evaluation: on which device, in which precision, and whether it fits."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from steep.core.errors import UserError
from steep.core.formatting import gib
from steep.llm.local.devices import Precision
from steep.training.loading import load_model, load_model_config

log = logging.getLogger("steep")

Item = TypeVar("Item")
ACTIVATIONS = 1.1  # memory of a loaded model and its smallest batches, relative to its weights


def load_for_scoring(where: Path | str, device: str, precision: Precision) -> Any:
    """Load a model onto a device, and set the precision of float32 products of the process.

    Raises:
        UserError: It cannot be loaded, does not fit, or the device does not have the precision.
    """
    import torch

    if precision == "tf32" and device != "cuda":
        raise UserError(
            "TF32 products need a GPU, and PyTorch finds none.",
            where="evaluate.precision",
            expected="auto, float32 or bfloat16",
            found=precision,
        )
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    if device == "cuda":
        check_fits(where, dtype, torch.cuda.mem_get_info()[0])
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    return load_model(where, dtype).to(device)


def check_fits(where: Path | str, dtype: Any, free: int) -> None:
    """Refuse a model that is larger than the `free` bytes of a GPU.

    Raises:
        UserError: It does not fit.
    """
    from steep.training.model_dims import empty_model

    parameters = empty_model(load_model_config(where)).num_parameters()
    needed = int(ACTIVATIONS * parameters * dtype.itemsize)
    if needed <= free:
        return
    smaller = "set evaluate.precision to bfloat16, or " if dtype.itemsize > 2 else ""
    raise UserError(
        "The GPU has too little free memory for this model.",
        where=where,
        expected=f"{gib(needed)} for {parameters:,} parameters in {str(dtype).split('.')[-1]}",
        found=f"{gib(free)} free",
        hint=f"{smaller}free memory on the GPU, or serve the model on several GPUs and name the "
        "server in evaluate.servers",
    )


def by_halves(items: Sequence[Item], run: Callable[[Sequence[Item]], list[Any]]) -> list[Any]:
    """Return the results of a batch; where the memory of a GPU is too small, of its halves.

    Args:
        items: The batch.
        run: Returns the results of a part of it, in order.

    Raises:
        UserError: The memory is too small for a single item.
    """
    import torch

    try:
        return run(items)
    except torch.OutOfMemoryError as error:
        if len(items) == 1:
            raise UserError(
                "The GPU has too little memory for a single sequence.",
                found=str(error).split(". ")[0],
                hint="set evaluate.precision to bfloat16, or free memory on the GPU",
            ) from error
        middle = len(items) // 2
    # Outside of the handler, which holds the tensors of the failed pass.
    torch.cuda.empty_cache()
    log.info("evaluate: a batch of %d did not fit into the GPU and is halved", len(items))
    return by_halves(items[:middle], run) + by_halves(items[middle:], run)
