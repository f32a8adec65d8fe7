"""Next-token loss with the output head in chunks: the logits of a whole batch never exist.

With Llama 3's vocabulary, the logits of 8,192 tokens and their gradient take 8 GB in fp32. Here the
loss and gradient of a chunk are computed together, so nothing is kept or recomputed; sums are in
fp32. Chunks are large if compiled: each adds to the gradient of the whole head, 2.1 GB in fp32. If
a head is more than a matrix product (scaled, capped or shifted logits), the model's own logits of
the whole micro-batch are used instead.

Shapes: B rows, T tokens, N = B * T positions, E hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from steep.tokens.mixture import IGNORED
from steep.training.attention import boundary_arguments, needs_no_masks

EAGER_POSITIONS = 1024  # of a chunk: three copies in fp32 take 1.6 GB at Llama 3's vocabulary
COMPILED_BYTES = 2**30  # of the logits of a compiled chunk, at most

# Returns the summed loss and its gradient by the logits, from logits_NV and targets_N.
ChunkLoss = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def chunk_positions(vocabulary: int, element_bytes: int, compiled: bool) -> int:
    """Return the positions of a chunk: a power of two, so that it divides most micro-batches."""
    if not compiled:
        return EAGER_POSITIONS
    fitting = COMPILED_BYTES // (vocabulary * element_bytes)
    return int(2 ** max(0, fitting.bit_length() - 1))


def chunk_loss(logits_NV: Tensor, targets_N: Tensor) -> tuple[Tensor, Tensor]:
    """Return the summed cross-entropy (nats) of a chunk, and its gradient by the logits.

    The arithmetic is fp32; the gradient has the precision of the logits. Without a scatter, the
    compiled function keeps no fp32 copy of the logits.
    """
    counted_N1 = (targets_N != IGNORED)[:, None]
    targets_N1 = targets_N.clamp_min(0)[:, None]
    fp32_NV = logits_NV.float()
    log_sum_N1 = fp32_NV.logsumexp(dim=1, keepdim=True)
    loss = ((log_sum_N1 - fp32_NV.gather(1, targets_N1)) * counted_N1).sum()
    gradient_NV = (fp32_NV - log_sum_N1).exp_()
    columns_V = torch.arange(logits_NV.shape[1], device=logits_NV.device)
    gradient_NV.add_(columns_V == targets_N1, alpha=-1)
    return loss, gradient_NV.mul_(counted_N1).to(logits_NV.dtype)


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_NE: Tensor,
        weight_VE: Tensor,
        targets_N: Tensor,
        compute: torch.dtype,
        by_chunk: ChunkLoss,
        positions: int,
    ) -> Tensor:
        hidden, weight = hidden_NE.to(compute), weight_VE.to(compute)
        loss = hidden_NE.new_zeros((), dtype=torch.float32)
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros_like(weight_VE, dtype=torch.float32)
        for rows in _chunks(len(hidden), positions):
            chunk, gradient = by_chunk(hidden[rows] @ weight.T, targets_N[rows])
            loss += chunk
            torch.mm(gradient, weight, out=grad_hidden[rows])
            add_product(grad_weight, gradient.T, hidden[rows])
        ctx.save_for_backward(grad_hidden.to(hidden_NE.dtype), grad_weight)
        ctx.weight_dtype = weight_VE.dtype
        return loss

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden, grad_weight = ctx.saved_tensors
        (scale,) = grad_outputs
        # The gradient of the head is scaled in fp32, and rounded once.
        if ctx.weight_dtype == torch.float32:
            scaled = grad_weight.mul_(scale)
        else:
            scaled = torch.empty_like(grad_weight, dtype=ctx.weight_dtype)
            torch.mul(grad_weight, scale, out=scaled)
        return grad_hidden * scale, scaled, None, None, None, None


def _chunks(total: int, positions: int) -> Iterator[slice]:
    return (slice(start, start + positions) for start in range(0, total, positions))


def add_product(total_VE: Tensor, left_VN: Tensor, right_NE: Tensor) -> None:
    """Add a matrix product to an fp32 tensor in place, rounding it first only if necessary."""
    if left_VN.dtype == torch.float32:
        total_VE.addmm_(left_VN, right_NE)
    elif _adds_to_fp32(left_VN.device, left_VN.dtype):
        torch.addmm(total_VE, left_VN, right_NE, out_dtype=torch.float32, out=total_VE)
    else:
        total_VE += left_VN @ right_NE


@cache
def _adds_to_fp32(device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether products of this type can be added to fp32: on GPUs, in recent PyTorch."""
    total, ones = torch.ones(16, 16, device=device), torch.ones(16, 16, device=device, dtype=dtype)
    try:
        torch.addmm(total, ones, ones, out_dtype=torch.float32, out=total)
    except (NotImplementedError, RuntimeError, TypeError):
        return False
    return bool((total == 17).all())


class CausalLoss(nn.Module):
    """A Hugging Face causal LM together with its loss, so that FSDP can wrap both."""

    def __init__(
        self, model: Any, compute: torch.dtype = torch.float32, compiled: bool = False
    ) -> None:
        super().__init__()
        self.model = model
        self.compute = compute
        # Before anything is compiled or sharded; of an empty model, `prepare` finds out later.
        self.plain_head = model.device.type != "meta" and has_plain_head(model)
        self._by_chunk: ChunkLoss = (
            torch.compile(chunk_loss, dynamic=False) if compiled else chunk_loss
        )
        vocabulary = model.config.get_text_config().vocab_size
        self._positions = chunk_positions(vocabulary, compute.itemsize, compiled)

    def forward(
        self,
        ids_BT: Tensor,
        labels_BT: Tensor,
        positions_BT: Tensor | None,
        boundaries_S: Tensor | None = None,
    ) -> Tensor:
        """Return the sum of the losses (nats) of all positions that are not ignored.

        Args:
            ids_BT: Token ids. There is never an attention mask: with one, transformers would not
                isolate packed documents.
            labels_BT: The token that each position predicts, or `IGNORED`.
            positions_BT: Positions that restart with each document, which isolates documents;
                None lets every token attend to all earlier ones in its row.
            boundaries_S: The same documents, see `attention.document_boundaries`.
        """
        alone = positions_BT is None or not needs_no_masks(self.model)
        assert alone or boundaries_S is not None, "positions alone would isolate nothing"
        assert ids_BT.shape == labels_BT.shape and ids_BT.dim() == 2, (
            ids_BT.shape,
            labels_BT.shape,
        )
        inputs = {
            "input_ids": ids_BT,
            "position_ids": positions_BT,
            "use_cache": False,
            **boundary_arguments(self.model, boundaries_S),
        }
        if not self.plain_head:
            logits_BTV = self.model(**inputs).logits
            loss: Tensor = nn.functional.cross_entropy(
                logits_BTV.float().flatten(0, 1),
                labels_BT.flatten(),
                ignore_index=IGNORED,
                reduction="sum",
            )
            return loss
        hidden_NE = self.model.base_model(**inputs).last_hidden_state.flatten(0, 1)
        weight_VE = self.model.get_output_embeddings().weight
        targets_N = labels_BT.flatten()
        if not torch.is_grad_enabled():
            return self._loss_alone(hidden_NE, weight_VE, targets_N)
        loss = _ChunkedCrossEntropy.apply(  # type: ignore[no-untyped-call]
            hidden_NE, weight_VE, targets_N, self.compute, self._by_chunk, self._positions
        )
        return loss

    def probe(self, check: Callable[[Any], bool]) -> bool:
        """Return what `check` says of the model; with several ranks, called on every rank."""
        return check(self.model)

    def _loss_alone(self, hidden_NE: Tensor, weight_VE: Tensor, targets_N: Tensor) -> Tensor:
        hidden_NE, weight_VE = hidden_NE.to(self.compute), weight_VE.to(self.compute)
        loss = hidden_NE.new_zeros((), dtype=torch.float32)
        for rows in _chunks(len(hidden_NE), self._positions):
            loss += nn.functional.cross_entropy(
                (hidden_NE[rows] @ weight_VE.T).float(),
                targets_N[rows],
                ignore_index=IGNORED,
                reduction="sum",
            )
        return loss


@torch.no_grad()
def has_plain_head(model: Any) -> bool:
    """Return True if the model's logits of a few tokens equal a plain matrix product."""
    ids_BT = torch.arange(8, device=model.device)[None] % model.config.get_text_config().vocab_size
    was_training = model.training
    model.eval()  # dropout would make any two passes differ
    try:
        hidden_BTE = model.base_model(input_ids=ids_BT, use_cache=False).last_hidden_state
        plain_BTV = hidden_BTE @ model.get_output_embeddings().weight.T
        own_BTV = model(input_ids=ids_BT, use_cache=False).logits
        return torch.allclose(plain_BTV, own_BTV, rtol=1e-3, atol=1e-3, equal_nan=True)
    finally:
        model.train(was_training)
