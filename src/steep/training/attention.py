"""Attention without masks, for rows of one document and for rows of several isolated documents.

transformers builds a mask of T x T from positions that restart, and then attention computes all of
it; it also waits for a GPU in every forward pass, to see whether positions restart. Here the layers
get the boundaries of documents instead: on a GPU for the variable-length kernel of FlashAttention,
on a processor for one call per document. Models whose results would change keep their masks:
sliding windows shorter than a row, dropout in attention, attention of their own.

Shapes: B rows, T tokens, N = B * T positions, H heads, K heads of keys, D size of a head,
S boundaries.
"""

from __future__ import annotations

import inspect
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from steep.core.cache_argument import cache_argument
from steep.training.config import OptimizationConfig

varlen_attn: Any = None
with suppress(ImportError):  # before PyTorch 2.10
    from torch.nn.attention.varlen import varlen_attn

NAME = "steep_documents"  # in the registry of transformers, which has no mask function of this name
MEAN_TOKENS = 256  # of a document, at least, for all micro-batches to have one number of boundaries
PROBE_TOKENS = 8  # of each of two documents
ASKS_FOR_GROUPS = (
    varlen_attn is not None and "enable_gqa" in inspect.signature(varlen_attn).parameters
)


def document_boundaries(positions_BT: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the first position of each document in the flattened rows, and then N.

    The kernel reads empty documents as the end: N is repeated up to a number of boundaries that
    does not depend on the rows, since a compiled layer is compiled again for each number. With
    documents that are shorter than `MEAN_TOKENS` on average, it is a power of two times larger.
    """
    starts = np.flatnonzero(positions_BT == 0)
    rows, context_tokens = positions_BT.shape
    size = rows * max(1, context_tokens // MEAN_TOKENS)
    while size < len(starts):
        size *= 2
    boundaries = np.full(size + 1, positions_BT.size, np.int32)
    boundaries[: len(starts)] = starts
    return boundaries


def needs_no_masks(model: Any) -> bool:
    """Return whether `drop_masks` has changed the attention of `model`."""
    return bool(model.config.get_text_config()._attn_implementation == NAME)


def boundary_arguments(model: Any, boundaries_S: Tensor | None) -> dict[str, Tensor]:
    """Return the argument of a forward pass that isolates documents, if the model reads it."""
    if boundaries_S is None or not needs_no_masks(model):
        return {}
    return {"cu_seq_lens_q": boundaries_S}


def drop_masks(model: Any, settings: OptimizationConfig, device: torch.device) -> bool:
    """Replace the attention of `model` by one without masks, if the results stay the same.

    A forward pass of a few tokens decides: equal in every bit without isolation, and otherwise up
    to rounding, since the kernel is another one. Call `restore_masks` before generating: without
    masks, padding would be read.

    Returns:
        True if the attention was replaced.
    """
    from transformers import AttentionInterface

    isolated = settings.isolate_documents
    config = model.config.get_text_config()
    if (
        config._attn_implementation != "sdpa"
        or not model._can_set_attn_implementation()
        or not _is_causal_only(config, settings.context_tokens)
        or (isolated and device.type == "cuda" and not _has_kernel(device, settings.compute))
    ):
        return False
    AttentionInterface.register(NAME, attend)
    expected_BTE = _hidden_states(model, isolated)
    model.set_attn_implementation(NAME)
    try:
        found_BTE = _hidden_states(model, isolated)
    except (RuntimeError, TypeError, ValueError):  # arguments or types that only masks support
        found_BTE = torch.full_like(expected_BTE, torch.nan)
    if isolated:
        close = 1e-3 if expected_BTE.dtype == torch.float32 else 0.05
        distance = (found_BTE - expected_BTE).abs().max()
        same = bool(distance <= close * expected_BTE.abs().max())  # NaN is refused
    else:
        same = torch.equal(found_BTE, expected_BTE)
    if not same:
        restore_masks(model)
    return same


def restore_masks(model: Any) -> None:
    """Let transformers build masks again, as generation needs them."""
    if needs_no_masks(model):
        model.set_attn_implementation("sdpa")


def _is_causal_only(config: Any, context_tokens: int) -> bool:
    """Return whether rows of one document need no mask: no window is shorter than a row."""
    from transformers.masking_utils import create_masks_for_generate

    try:
        masks = create_masks_for_generate(
            config=config,
            inputs_embeds=torch.empty(1, context_tokens, 0),
            attention_mask=None,
            **{cache_argument(create_masks_for_generate): None},
        )
    except TypeError:  # another version of transformers
        return False
    return all(mask is None for mask in (masks.values() if isinstance(masks, dict) else [masks]))


def _has_kernel(device: torch.device, compute: str) -> bool:
    """Return whether the variable-length kernel exists: PyTorch 2.10, an A100 or newer, bf16."""
    if varlen_attn is None or compute != "bfloat16":
        return False
    return torch.cuda.get_device_capability(device) >= (8, 0)


@torch.no_grad()
def _hidden_states(model: Any, isolated: bool) -> Tensor:
    """Return those of two rows, the first with two documents; with dropout, always the same."""
    tokens = 2 * PROBE_TOKENS
    vocabulary = model.config.get_text_config().vocab_size
    ids_BT = torch.arange(2 * tokens, device=model.device).view(2, tokens) % vocabulary
    inputs: dict[str, Any] = {}
    if isolated:
        columns = np.arange(tokens)
        positions_BT = np.stack([columns % PROBE_TOKENS, columns])
        boundaries_S = torch.from_numpy(document_boundaries(positions_BT)).to(model.device)
        inputs = {
            "position_ids": torch.from_numpy(positions_BT).to(model.device),
            **boundary_arguments(model, boundaries_S),
        }
    was_training = model.training
    model.train()  # dropout in attention differs between kernels
    devices = [model.device] if model.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(0)
            output = model.base_model(input_ids=ids_BT, use_cache=False, **inputs)
    finally:
        model.train(was_training)
    hidden_BTE: Tensor = output.last_hidden_state
    return hidden_BTE


def attend(
    module: nn.Module,
    query_BHTD: Tensor,
    key_BKTD: Tensor,
    value_BKTD: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    cu_seq_lens_q: Tensor | None = None,
    **other: Any,
) -> tuple[Tensor, None]:
    """Return the attention of each position to the earlier ones of its document, (B, T, H, D).

    The function that `drop_masks` registers with transformers, which defines its arguments;
    `cu_seq_lens_q` are boundaries of `document_boundaries`, and None means one document per row.

    Raises:
        ValueError: The layer adds a bias or a limit to its scores, which no kernel here does.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    inputs = (query_BHTD, key_BKTD, value_BKTD)
    output: tuple[Tensor, None]
    if cu_seq_lens_q is None:
        output = sdpa_attention_forward(module, *inputs, attention_mask, scaling=scaling, **other)
        return output
    if any(other.get(name) is not None for name in ("position_bias", "s_aux", "softcap")):
        raise ValueError("attention scores with a bias, a limit or a sink")
    rows, _, tokens, _ = query_BHTD.shape
    flat = [each.transpose(1, 2).flatten(0, 1) for each in inputs]
    if _is_on_gpu(query_BHTD):
        out_NHD = _variable_length(flat, cu_seq_lens_q, tokens, scaling)
    elif torch.compiler.is_compiling():
        mask_B1TT = _mask(cu_seq_lens_q, rows, tokens)
        output = sdpa_attention_forward(module, *inputs, mask_B1TT, scaling=scaling, **other)
        return output
    else:
        lengths = [length for length in cu_seq_lens_q.diff().tolist() if length]
        parts = []
        for document in zip(*(torch.split(each, lengths) for each in flat), strict=True):
            as_row = (each.transpose(0, 1)[None] for each in document)
            parts.append(sdpa_attention_forward(module, *as_row, None, scaling=scaling, **other)[0])
        out_NHD = torch.cat(parts, dim=1)
    return out_NHD.view(rows, tokens, *out_NHD.shape[-2:]), None


def _is_on_gpu(tensor: Tensor) -> bool:
    return tensor.is_cuda


def _variable_length(
    inputs: list[Tensor], boundaries_S: Tensor, most_tokens: int, scaling: float | None
) -> Tensor:
    """Return the attention of each document, (N, H, D), from flattened queries, keys and values."""
    query_NHD, key_NKD, value_NKD = inputs
    # PyTorch 2.11 groups heads without being asked. Normalized queries are fp32 under autocast.
    grouped = {"enable_gqa": True} if ASKS_FOR_GROUPS else {}
    output: Tensor = varlen_attn(
        query_NHD.to(value_NKD.dtype),
        key_NKD.to(value_NKD.dtype),
        value_NKD,
        boundaries_S,
        boundaries_S,
        most_tokens,
        most_tokens,
        scale=scaling,
        window_size=(-1, 0),  # causal
        **grouped,
    )
    return output


def _mask(boundaries_S: Tensor, rows: int, tokens: int) -> Tensor:
    """Return the mask of isolated documents, (B, 1, T, T)."""
    places_N = torch.arange(rows * tokens, dtype=torch.int32, device=boundaries_S.device)
    documents_BT = torch.searchsorted(boundaries_S, places_N, right=True).view(rows, tokens)
    same_BTT = documents_BT[:, :, None] == documents_BT[:, None, :]
    return same_BTT.tril()[:, None]
