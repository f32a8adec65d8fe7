"""Prepare a loaded model for the loop: recomputation, compilation and sharding."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend
from torch.utils.checkpoint import checkpoint

from steep.core.errors import UserError
from steep.tokens.mixture import RowBatch
from steep.training.attention import (
    NAME,
    PROBE_TOKENS,
    boundary_arguments,
    document_boundaries,
    drop_masks,
    needs_no_masks,
)
from steep.training.config import OptimizationConfig
from steep.training.loss import CausalLoss, has_plain_head
from steep.training.model_dims import decoder_layers
from steep.training.parallel import World, shard

MEMORY_BUDGET = 0.99  # share of the activations kept by default; lower recomputes products, too
BF16_SUMS = 64  # micro-batches per step; with more, gradients of bf16 are off by 1%
LAYER_SHAPES = 64  # compiled shapes of a layer, at most

log = logging.getLogger("steep")


def weight_dtype(settings: OptimizationConfig) -> torch.dtype:
    """Return the precision in which weights are loaded and kept."""
    return torch.float32 if settings.optimizer == "adamw" else torch.bfloat16


def resolve_auto(settings: OptimizationConfig, device: torch.device) -> OptimizationConfig:
    """Return a copy in which `auto` is decided: on a GPU, bf16 products and compiled layers."""
    gpu = device.type == "cuda"
    compute, compiled = settings.compute, settings.compile
    if compute == "float32" and settings.optimizer != "adamw":
        raise UserError(
            "Weights in bf16 cannot be multiplied in float32.",
            where=f"{settings.section}.compute",
            expected=f"bfloat16 or auto, with this {settings.section}.optimizer",
            found=f"float32 with {settings.optimizer}",
        )
    if compute == "auto":
        compute = "bfloat16" if gpu or settings.optimizer != "adamw" else "float32"
    if compiled == "auto":
        compiled = "layers" if gpu else "none"
    return settings.model_copy(update={"compute": compute, "compile": compiled})


def prepare(
    model: Any,
    settings: OptimizationConfig,
    world: World,
    fill: Callable[[nn.Module], None] | None = None,
) -> CausalLoss:
    """Return the module whose forward pass is the loss of `model`, on the device of this rank.

    Args:
        model: A Hugging Face causal LM; if its parameters are empty, `fill` fills them.
        settings: The settings of the run, without `auto` values.
        world: The ranks.
        fill: Fills the parameters of the sharded module, see `rank_loading.open_model`.
    """
    from torch.distributed.fsdp import (
        FSDPModule,
        MixedPrecisionPolicy,
        register_fsdp_forward_method,
    )

    compute = getattr(torch, settings.compute)
    layers = decoder_layers(model)
    if world.size == 1:
        model.to(world.device)
    compiled = settings.compile == "layers"
    module = CausalLoss(model, compute, compiled)
    if settings.recompute_every:
        _recompute(layers, settings.recompute_every, settings.section)
    _warn_of_rounding(settings, world)
    # Gradients are summed in fp32 over ranks, in any precision of the weights.
    shard(
        module, layers, world, MixedPrecisionPolicy(param_dtype=compute, reduce_dtype=torch.float32)
    )
    register_fsdp_forward_method(module, "probe")
    if fill is not None:
        fill(module)
        module.plain_head = module.probe(has_plain_head)
    _choose_attention(module, settings, world)
    if isinstance(module, FSDPModule):
        module.reshard()  # a probe leaves some parameters whole
    if compiled:
        compile_layers(layers)
    return module.train()


def _warn_of_rounding(settings: OptimizationConfig, world: World) -> None:
    """Warn if gradients are rounded often: with bf16 weights, once for each micro-batch.

    The relative error of the sum is 0.2% over 4 micro-batches, 0.8% over 64 and 1.1% over 128
    (measured), without a bias; rounding an exact sum once gives 0.16%.
    """
    count = world.micro_batches(settings.batch_sequences, settings.micro_batch_sequences)
    if count > BF16_SUMS and weight_dtype(settings) == torch.bfloat16 and world.is_main:
        log.warning(
            "%s: %d micro-batches are summed into gradients of bf16, which rounds them by about "
            "1%%; a larger %s.micro_batch_sequences is more exact, and faster",
            settings.section,
            count,
            settings.section,
        )


def _choose_attention(module: CausalLoss, settings: OptimizationConfig, world: World) -> None:
    """Compute attention without masks where possible, and avoid a faulty kernel with masks.

    Raises:
        UserError: Documents should be isolated, and cannot be.
    """
    with computing(settings, world):
        masked = not module.probe(lambda model: drop_masks(model, settings, world.device))
        if settings.isolate_documents:
            _check_isolation(module, settings)
    if world.device.type == "cuda":
        if masked and settings.isolate_documents:
            # With a mask, the backward pass of cuDNN can give NaN (PyTorch issue 196678).
            torch.backends.cuda.enable_cudnn_sdp(False)
        if world.is_main:
            kernel = attention_kernel(module.model, settings, world.device)
            log.info("%s: attention kernel: %s", settings.section, kernel)


def _check_isolation(module: CausalLoss, settings: OptimizationConfig) -> None:
    """Refuse a model whose documents would not be isolated.

    Raises:
        UserError: A token depends on those of an earlier document.
    """
    if module.probe(leaks_across_documents):
        raise UserError(
            "This model cannot isolate the documents of a row: tokens depend on earlier ones.",
            where=f"{settings.section}.isolate_documents",
            expected="a model whose layers all follow the positions of tokens, such as Llama, "
            "Qwen3, Gemma or Mistral",
            found=f"model type '{module.model.config.model_type}'",
            hint=f"set {settings.section}.isolate_documents to false",
        )


@torch.no_grad()
def leaks_across_documents(model: Any) -> bool:
    """Return whether the second of two documents in a row depends on the first."""
    vocabulary = model.config.get_text_config().vocab_size
    ids_BT = torch.arange(2 * PROBE_TOKENS, device=model.device)[None] % vocabulary
    other_BT = ids_BT.clone()
    other_BT[:, :PROBE_TOKENS] = (ids_BT[:, :PROBE_TOKENS] + vocabulary // 2) % vocabulary
    positions_BT = np.tile(np.arange(PROBE_TOKENS), 2)[None]
    boundaries_S = torch.from_numpy(document_boundaries(positions_BT)).to(model.device)
    inputs = {
        "position_ids": torch.from_numpy(positions_BT).to(model.device),
        "use_cache": False,
        **boundary_arguments(model, boundaries_S),
    }
    was_training = model.training
    model.eval()  # dropout would make any two passes differ
    try:
        one, other = (
            model.base_model(input_ids=each, **inputs).last_hidden_state[:, PROBE_TOKENS:].float()
            for each in (ids_BT, other_BT)
        )
        return not bool((one - other).abs().max() <= 1e-3 * one.abs().max())  # NaN is refused
    finally:
        model.train(was_training)


def attention_kernel(model: Any, settings: OptimizationConfig, device: torch.device) -> str:
    """Return the name of the kernel that PyTorch chooses for the attention of `model`."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_attention_heads", None)
    if settings.isolate_documents:
        return "variable-length flash" if needs_no_masks(model) else "any that reads masks"
    if config._attn_implementation not in ("sdpa", NAME) or heads is None:
        return str(config._attn_implementation)
    keys = getattr(config, "num_key_value_heads", None) or heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    query, key = (
        torch.empty(
            (1, count, settings.context_tokens, size),
            dtype=getattr(torch, settings.compute),
            device=device,
            requires_grad=True,
        )
        for count in (heads, keys)
    )
    choice = torch._fused_sdp_choice(query, key, key, is_causal=True, enable_gqa=heads != keys)
    return SDPBackend(choice).name.lower().replace("_", " ")


def compile_layers(layers: list[nn.Module]) -> None:
    """Compile each layer; one graph serves all layers, since all have the same shapes.

    The budget makes the compiler recompute what is cheap (normalized inputs, activation functions)
    in the backward pass, and neither a matrix product nor attention: the same results in two thirds
    of the memory. The limit allows for micro-batches of other sizes, of validation for example:
    with `fullgraph`, exceeding it ends the run.
    """
    torch._functorch.config.activation_memory_budget = MEMORY_BUDGET
    if not counts_grouped_attention():
        torch._functorch.config.activation_memory_budget_runtime_estimator = "testing"
    torch._dynamo.config.recompile_limit = max(LAYER_SHAPES, torch._dynamo.config.recompile_limit)
    for layer in layers:
        layer.compile(fullgraph=True, dynamic=False)


def counts_grouped_attention() -> bool:
    """Return whether the compiler can estimate attention with fewer keys than queries.

    PyTorch 2.11 cannot, and then fails; with "testing" it takes all operations as equal.
    """
    from torch.utils.flop_counter import sdpa_flop_count

    query, key = (1, 2, 8, 4), (1, 1, 8, 4)
    try:
        sdpa_flop_count(query, key, key)  # type: ignore[no-untyped-call]
    except AssertionError:
        return False
    return True


def computing(settings: OptimizationConfig, world: World) -> AbstractContextManager[Any]:
    """Return the context of forward passes: autocast if fp32 weights are unsharded."""
    mixed = settings.optimizer == "adamw" and settings.compute == "bfloat16" and world.size == 1
    return torch.autocast(world.device.type, torch.bfloat16) if mixed else nullcontext()


def on_device(rows: RowBatch, device: torch.device) -> tuple[Tensor | None, ...]:
    """Return the arguments of `CausalLoss.forward`, copied to a GPU asynchronously."""

    def move(part: Any) -> Tensor:
        tensor = torch.from_numpy(part)
        if device.type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(device, non_blocking=True)

    positions_BT = rows.positions_BT
    if positions_BT is None:
        return move(rows.ids_BT), move(rows.labels_BT), None, None
    return (
        move(rows.ids_BT),
        move(rows.labels_BT),
        move(positions_BT),
        move(document_boundaries(positions_BT)),
    )


def _recompute(layers: list[nn.Module], every: int, section: str) -> None:
    """Recompute the activations of every n-th layer in the backward pass.

    The two attributes are those that transformers sets for gradient checkpointing.
    """
    for layer in layers[::every]:
        if not hasattr(layer, "gradient_checkpointing"):
            raise UserError(
                "The layers of this model cannot recompute their activations.",
                where=f"{section}.recompute_every",
                found=type(layer).__name__,
                hint="set it to 0, and use smaller micro-batches",
            )
        again = partial(checkpoint, use_reentrant=False)
        vars(layer).update(gradient_checkpointing=True, _gradient_checkpointing_func=again)


def trained_parameters(module: CausalLoss) -> dict[str, nn.Parameter]:
    """Return the trained parameters by their names in the Hugging Face model."""
    return {
        name: parameter
        for name, parameter in module.model.named_parameters()
        if parameter.requires_grad
    }
