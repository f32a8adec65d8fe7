"""Batches of padded prompts through `generate()`: for models that cannot be batched continuously.

A batch lasts as long as its longest text, and each row keeps its own copy of the document.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from steep.llm.row_sampling import RowSampler, SampledRow

ROWS_ON_GPU = 64
ROWS_ON_CPU = 8


class PaddedWriter:
    """Writes rows a batch at a time."""

    concurrency = 1

    def __init__(
        self,
        model: Any,
        sampler: RowSampler,
        end_ids: frozenset[int],
        on_tokens: Callable[[int], None],
    ) -> None:
        self.batch_size = ROWS_ON_CPU if model.device.type == "cpu" else ROWS_ON_GPU
        self._model = model
        self._sampler = sampler
        self._end_ids = sorted(end_ids)
        self._on_tokens = on_tokens

    async def write(self, prompts: Sequence[list[int]], rows: list[SampledRow]) -> None:
        """Write the rows to their ends, off the event loop."""
        if rows:
            await asyncio.to_thread(self._write, prompts, rows)

    def close(self) -> None:
        """There is nothing to stop."""

    @torch.inference_mode()
    def _write(self, prompts: Sequence[list[int]], rows: list[SampledRow]) -> None:
        from transformers import LogitsProcessorList

        longest = max(len(prompt) for prompt in prompts)
        pads = [longest - len(prompt) for prompt in prompts]
        pad = self._end_ids[0]
        ids_BT = torch.tensor([[pad] * n + ids for n, ids in zip(pads, prompts, strict=True)])
        mask_BT = (torch.arange(longest)[None] >= torch.tensor(pads)[:, None]).long()

        def choose(ids_BT: Tensor, scores_BV: Tensor) -> Tensor:
            tokens = self._sampler.choose(scores_BV, rows)
            self._on_tokens(sum(not row.ended for row in rows))
            peaks_BV = torch.full_like(scores_BV, float("-inf"))
            peaks_BV[range(len(rows)), tokens] = 0.0
            return peaks_BV

        self._model.generate(
            ids_BT.to(self._model.device),
            attention_mask=mask_BT.to(self._model.device),
            logits_processor=LogitsProcessorList([choose]),
            do_sample=False,
            max_new_tokens=max(row.sampling.max_tokens for row in rows),
            eos_token_id=self._end_ids,
            pad_token_id=pad,
        )
