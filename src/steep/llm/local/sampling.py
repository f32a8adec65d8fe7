"""Sample the next tokens of a batch of rows: frequency penalty, grammar, temperature, top-k, top-p.

Each row has its own settings and draws its own random numbers, seeded by its call's id. Which token
a row gets depends on its own logits and its own past only, never on the rest of the batch.

Shapes: N rows, V vocabulary, K candidate tokens in descending order of probability.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steep.core.calls import Call, Sampling
from steep.llm.local.prompts import Grammars

ROWS_AT_ONCE = 64  # in double precision and a vocabulary of 128,000: 66 MB per temporary tensor
LOWEST_TEMPERATURE = 1e-4  # stands for temperature 0


@dataclass(eq=False, slots=True)
class SampledRow:
    """The state of one text; `tokens` are those written so far, without the token that ended it."""

    sampling: Sampling
    uniforms: Any
    matcher: Any | None = None
    tokens: list[int] = field(default_factory=list)
    counts: Counter[int] = field(default_factory=Counter)
    ended: bool = False

    @property
    def complete(self) -> bool:
        """Whether the row's grammar allows no further token."""
        return self.matcher is not None and bool(self.matcher.is_stopped())

    @property
    def finish_reason(self) -> str:
        """Return "stop" if the model or the grammar ended the text, "length" if the limit did."""
        return "stop" if self.ended or self.complete else "length"

    @property
    def uniform(self) -> float:
        """The random number of the next token."""
        step = len(self.tokens)
        return float(self.uniforms[step]) if step < len(self.uniforms) else 0.0


def new_row(call: Call, grammars: Grammars) -> SampledRow:
    """Return a row for a call, with random numbers seeded by the call's id."""
    schema = call.sampling.json_schema
    uniforms = np.random.default_rng(call.seed).random(call.sampling.max_tokens)
    return SampledRow(call.sampling, uniforms, grammars.matcher(schema) if schema else None)


class RowSampler:
    """Samples the next token of each row, among the `top_k` likeliest or, as providers do, all."""

    def __init__(self, end_ids: frozenset[int], top_k: int | None = None) -> None:
        self._end_ids = end_ids
        self._end = min(end_ids)
        self._top_k = top_k

    def choose(self, logits_NV: Tensor, rows: Sequence[SampledRow]) -> list[int]:
        """Sample a token per row and append it; rows that have ended get an end token."""
        assert logits_NV.shape[0] == len(rows), (logits_NV.shape, len(rows))
        tokens: list[int] = []
        for start in range(0, len(rows), ROWS_AT_ONCE):
            some = rows[start : start + ROWS_AT_ONCE]
            tokens += self._sample(logits_NV[start : start + len(some)].float(), some)
        return [self._append(row, token) for row, token in zip(rows, tokens, strict=True)]

    def next_tokens(self, logits_NV: Tensor, rows: Sequence[SampledRow]) -> list[int | None]:
        """Sample like `choose`; return None for each row that has ended or is at its limit."""
        before = [len(row.tokens) for row in rows]
        self.choose(logits_NV, rows)
        return [
            row.tokens[-1] if len(row.tokens) > count else None
            for row, count in zip(rows, before, strict=True)
        ]

    def _sample(self, logits_NV: Tensor, rows: Sequence[SampledRow]) -> list[int]:
        logits_NV = logits_NV.clone()
        _penalize(logits_NV, rows)
        _mask(logits_NV, rows)
        device = logits_NV.device
        floor = LOWEST_TEMPERATURE
        temperature_N = torch.tensor([max(row.sampling.temperature, floor) for row in rows])
        temperature_N1 = temperature_N.to(device)[:, None]
        uniform_N = torch.tensor([row.uniform for row in rows], dtype=torch.float64).to(device)
        top_p_N = torch.tensor([row.sampling.top_p for row in rows], dtype=torch.float64).to(device)
        if self._top_k is not None:
            top_NK, ids_NK = logits_NV.topk(min(self._top_k, logits_NV.shape[1]), dim=1)
            chances_NK = (top_NK / temperature_N1).softmax(dim=1, dtype=torch.float64)
            tokens_N = _sample_sorted(chances_NK, ids_NK, uniform_N, top_p_N)
        else:
            chances_NV = (logits_NV / temperature_N1).softmax(dim=1, dtype=torch.float64)
            cumulative_NV = chances_NV.cumsum(dim=1)
            tokens_N = _inverse(cumulative_NV, uniform_N[:, None] * cumulative_NV[:, -1:])
            # Sort only the rows that need it: sorting must not depend on the rest of the batch.
            cut = [i for i, row in enumerate(rows) if row.sampling.top_p < 1]
            if cut:
                sorted_NK, ids_NK = chances_NV[cut].sort(dim=1, descending=True, stable=True)
                tokens_N[cut] = _sample_sorted(sorted_NK, ids_NK, uniform_N[cut], top_p_N[cut])
        ids: list[int] = tokens_N.tolist()
        return ids

    def _append(self, row: SampledRow, token: int) -> int:
        if row.ended or row.complete:
            row.ended = True
            return self._end
        if len(row.tokens) >= row.sampling.max_tokens:
            return self._end
        if row.matcher is not None:
            row.matcher.consume_token(token)
        if token in self._end_ids:
            row.ended = True
            return token
        row.tokens.append(token)
        row.counts[token] += 1
        return token


def _penalize(logits_NV: Tensor, rows: Sequence[SampledRow]) -> None:
    """Lower, in place, the logits of tokens already written (OpenAI's `frequency_penalty`)."""
    for i, row in enumerate(rows):
        if row.sampling.frequency_penalty and row.counts:
            ids = torch.tensor(list(row.counts), device=logits_NV.device)
            counts = torch.tensor(list(row.counts.values()), device=logits_NV.device)
            logits_NV[i, ids] -= row.sampling.frequency_penalty * counts


def _mask(logits_NV: Tensor, rows: Sequence[SampledRow]) -> None:
    """Set, in place, the logits of tokens that the row's grammar forbids to minus infinity."""
    for i, row in enumerate(rows):
        if row.matcher is None or row.ended or row.complete:
            continue
        # Not llguidance.torch: it compiles its few lines, and that needs a C++ compiler.
        bits = np.frombuffer(row.matcher.compute_bitmask(), dtype=np.uint8)
        allowed = np.unpackbits(bits, bitorder="little", count=logits_NV.shape[1])
        banned = torch.from_numpy(allowed == 0).to(logits_NV.device)
        logits_NV[i].masked_fill_(banned, float("-inf"))


def _sample_sorted(
    chances_NK: Tensor, ids_NK: Tensor, uniform_N: Tensor, top_p_N: Tensor
) -> Tensor:
    """Sample within the smallest set of candidates whose probability reaches `top_p`."""
    cumulative_NK = chances_NK.cumsum(dim=1)
    last_N1 = _inverse(cumulative_NK, top_p_N[:, None] * cumulative_NK[:, -1:], right=False)[
        :, None
    ]
    position_N = _inverse(cumulative_NK, uniform_N[:, None] * cumulative_NK.gather(1, last_N1))
    return ids_NK.gather(1, position_N[:, None])[:, 0]


def _inverse(cumulative_NK: Tensor, target_N1: Tensor, right: bool = True) -> Tensor:
    """Return the position in each row at which the cumulative probability passes the target."""
    found_N = torch.searchsorted(cumulative_NK, target_N1, right=right)[:, 0]
    return found_N.clamp_max(cumulative_NK.shape[1] - 1)
