"""Choosing the next token of each row: temperature, top-p, and a grammar for structured output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steep.core.calls import Sampling

TOP_K = 64  # tokens that sampling chooses among; a small model's tail is noise


class Sampler:
    """Picks tokens for the rows of a batch; each row has its own settings and random numbers.

    Which token a row gets depends on its own logits and seed only, never on the rest of the batch.
    """

    def __init__(
        self,
        settings: Sequence[Sampling],
        seeds: Sequence[int],
        end_ids: frozenset[int],
        grammar: Callable[[str], Any],
    ) -> None:
        """Prepare the rows; `grammar` makes a token matcher from a JSON schema."""
        self.settings = settings
        self.end_ids = end_ids
        self.uniforms = [
            np.random.default_rng(seed).random(sampling.max_tokens)
            for seed, sampling in zip(seeds, settings, strict=True)
        ]
        self.matchers = [
            grammar(sampling.json_schema) if sampling.json_schema else None for sampling in settings
        ]
        self.steps = [0] * len(settings)
        self.written: list[Counter[int]] = [Counter() for _ in settings]

    def choose(self, logits_BV: Tensor, rows: Sequence[int]) -> list[int | None]:
        """The next token of each row, or None where the row ends."""
        self._penalize(logits_BV, rows)
        self._mask(logits_BV, rows)
        top_BK = logits_BV.topk(min(TOP_K, logits_BV.shape[1]), dim=1)
        temperature_B = torch.tensor([max(self.settings[row].temperature, 1e-4) for row in rows])
        probabilities_BK = (top_BK.values / temperature_B[:, None]).double().softmax(dim=1).numpy()
        ids_BK = top_BK.indices.numpy()
        return [self._take(row, probabilities_BK[i], ids_BK[i]) for i, row in enumerate(rows)]

    def _penalize(self, logits_BV: Tensor, rows: Sequence[int]) -> None:
        """Lower, in place, what a row has already written (OpenAI's `frequency_penalty`)."""
        for i, row in enumerate(rows):
            penalty, counts = self.settings[row].frequency_penalty, self.written[row]
            if penalty and counts:
                logits_BV[i, list(counts)] -= penalty * torch.tensor(list(counts.values()))

    def _mask(self, logits_BV: Tensor, rows: Sequence[int]) -> None:
        """Rule out, in place, what the grammar of a row does not allow next."""
        for i, row in enumerate(rows):
            matcher = self.matchers[row]
            if matcher is None or matcher.is_stopped():
                continue  # a row whose answer is complete ends in _take
            # Not llguidance.torch: it compiles its few lines, and that needs a C++ compiler.
            bits = np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8)
            allowed = np.unpackbits(bits, bitorder="little", count=logits_BV.shape[1])
            logits_BV[i].masked_fill_(torch.from_numpy(allowed == 0), float("-inf"))

    def _take(self, row: int, probabilities_K: Any, ids_K: Any) -> int | None:
        """Inverse transform sampling inside the smallest set of tokens that holds top_p."""
        step, matcher = self.steps[row], self.matchers[row]
        if step >= self.settings[row].max_tokens or (matcher and matcher.is_stopped()):
            return None
        self.steps[row] += 1
        cumulative = np.cumsum(probabilities_K)
        kept = int(np.searchsorted(cumulative, self.settings[row].top_p * cumulative[-1])) + 1
        target = self.uniforms[row][step] * cumulative[min(kept, len(cumulative)) - 1]
        token = int(
            ids_K[min(int(np.searchsorted(cumulative, target, side="right")), len(ids_K) - 1)]
        )
        if matcher is not None:
            matcher.consume_token(token)
        self.written[row][token] += 1
        return None if token in self.end_ids else token
