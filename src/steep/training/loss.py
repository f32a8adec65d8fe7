"""Next-token loss with the output head in chunks: the logits of a whole batch never exist.

At SmolLM2's vocabulary the logits of 1,024 tokens and their gradient are 400 MB in fp32. Here each
chunk's logits give its loss and, at once, its gradient, so nothing is kept and nothing is computed
twice. Accumulation is in fp32.

Shapes: N predicted positions, E hidden size, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from steep.core.errors import UserError

CHUNK_POSITIONS = 256


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden_NE: Tensor, weight_VE: Tensor, targets_N: Tensor) -> Tensor:
        loss = hidden_NE.new_zeros((), dtype=torch.float32)
        grad_hidden = torch.empty_like(hidden_NE)
        grad_weight = torch.zeros_like(weight_VE, dtype=torch.float32)
        for start in range(0, len(hidden_NE), CHUNK_POSITIONS):
            rows = slice(start, start + CHUNK_POSITIONS)
            hidden, targets = hidden_NE[rows], targets_N[rows, None]
            logits = (hidden @ weight_VE.T).float()
            log_sum = logits.logsumexp(dim=1, keepdim=True)
            loss += (log_sum - logits.gather(1, targets)).sum()
            logits.sub_(log_sum).exp_()  # now the softmax, in place
            logits.scatter_add_(1, targets, logits.new_full(targets.shape, -1.0))
            gradient = logits.to(hidden_NE.dtype)
            grad_hidden[rows] = gradient @ weight_VE
            grad_weight += gradient.T @ hidden
        ctx.save_for_backward(grad_hidden, grad_weight.to(weight_VE.dtype))
        return loss

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, None]:
        grad_hidden, grad_weight = ctx.saved_tensors
        (scale,) = grad_outputs
        return grad_hidden * scale, grad_weight * scale, None


@torch.no_grad()
def check_plain_head(model: Any, ids_BT: Tensor) -> None:
    """Compare the model's own logits of a few tokens with those that the loss is made from.

    Raises:
        UserError: The model scales, caps or shifts its logits; its loss would be another one.
    """
    model.eval()  # dropout would make any two passes differ
    hidden_BTE = model.base_model(input_ids=ids_BT, use_cache=False).last_hidden_state
    plain_BTV = hidden_BTE @ model.get_output_embeddings().weight.T
    own_BTV = model(input_ids=ids_BT, use_cache=False).logits
    if not torch.allclose(plain_BTV, own_BTV, rtol=1e-3, atol=1e-3, equal_nan=True):
        raise UserError(
            "This model's output head is more than a matrix product; it cannot be trained yet.",
            where="train.model",
            expected="a model like Llama, Qwen, Mistral or SmolLM",
            found=type(model).__name__,
        )


def summed_loss(model: Any, ids_BT: Tensor) -> Tensor:
    """Sum of the next-token losses (nats) of all B * (T - 1) predictions.

    Args:
        model: A Hugging Face causal LM with a plain linear head.
        ids_BT: Token ids; position t predicts t + 1. No attention mask: rows are packed.
    """
    assert ids_BT.dim() == 2, ids_BT.shape
    hidden_BTE = model.base_model(input_ids=ids_BT, use_cache=False).last_hidden_state
    hidden_NE = hidden_BTE[:, :-1].reshape(-1, hidden_BTE.shape[-1])
    weight_VE = model.get_output_embeddings().weight
    targets_N = ids_BT[:, 1:].reshape(-1)
    loss: Tensor = _ChunkedCrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden_NE, weight_VE, targets_N
    )
    return loss
