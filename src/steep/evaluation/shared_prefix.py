"""Keys and values of a prefix that all prompts share: computed once, kept once.

`transformers` would keep a copy for every row and layer of a batch (69 MB a row for a prefix of
1,500 tokens and SmolLM2-135M in fp32). Here a layer borrows them while it is computed: each row's
copy lives as long as that layer's attention.

Shapes: B rows, H key-value heads, P prefix positions, T new positions, D head dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class SharedPrefix:
    """A read-only cache with the interface of a `transformers` cache."""

    is_compileable = False

    def __init__(self, ids: Sequence[int], keys: list[Tensor], values: list[Tensor]) -> None:
        """Keep one (H, P, D) tensor per layer for keys and for values."""
        self.ids = tuple(ids)
        self.keys = keys
        self.values = values

    @property
    def tokens(self) -> int:
        """The number of tokens of the prefix."""
        return len(self.ids)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return the number of cached positions, for `transformers`."""
        return self.tokens

    def update(
        self, keys_BHTD: Tensor, values_BHTD: Tensor, layer: int, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Put the prefix before the new positions of a layer."""
        return _joined(self.keys[layer], keys_BHTD), _joined(self.values[layer], values_BHTD)


def _joined(prefix_HPD: Tensor, new_BHTD: Tensor) -> Tensor:
    rows = new_BHTD.shape[0]
    return torch.cat([prefix_HPD[None].expand(rows, -1, -1, -1), new_BHTD], dim=2)


def compute_prefix(model: Any, ids: Sequence[int]) -> SharedPrefix | None:
    """Run the tokens through the model; None if it keeps other state than keys and values."""
    from transformers import DynamicCache

    cache = DynamicCache(config=model.config)
    with torch.inference_mode():
        model(
            input_ids=torch.tensor([ids], device=model.device),
            past_key_values=cache,
            logits_to_keep=1,
        )
    layers = cache.layers
    if any(getattr(layer, "keys", None) is None or layer.is_sliding for layer in layers):
        return None
    return SharedPrefix(ids, [x.keys[0] for x in layers], [x.values[0] for x in layers])


def shared_tokens(prompts: Sequence[Sequence[int]]) -> int:
    """Count the leading tokens that all prompts share, leaving each at least one of its own."""
    # What the first and the last in order share, those in between share too.
    first, last = min(map(tuple, prompts)), max(map(tuple, prompts))
    limit = min(map(len, prompts)) - 1
    return next((n for n in range(limit) if first[n] != last[n]), limit)
