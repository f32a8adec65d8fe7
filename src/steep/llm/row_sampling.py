"""Choosing tokens on the device for rows that come and go: penalty, grammar, temperature, top-p.

Each row draws its own random numbers, from its call's id: which token it gets depends on its own
logits and its own past, never on its company in the batch. All of the vocabulary takes part, as the
endpoint of a provider would have it.

Shapes: N rows, V vocabulary.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steep.core.calls import Call, Sampling
from steep.llm.chat import Grammars

ROWS_AT_ONCE = 64  # in double precision, 128,000 tokens wide: 66 MB a temporary tensor
COLDEST = 1e-4  # temperature 0 is this one


@dataclass(eq=False, slots=True)
class SampledRow:
    """A text in the making. `tokens` is what has been written, without the token that ended it."""

    sampling: Sampling
    uniforms: Any
    matcher: Any | None = None
    tokens: list[int] = field(default_factory=list)
    counts: Counter[int] = field(default_factory=Counter)
    ended: bool = False
    cached_tokens: int = 0

    @property
    def finish_reason(self) -> str:
        """As an endpoint would say it: the model ended the text, or the limit did."""
        return "stop" if self.ended or _is_complete(self) else "length"


def open_row(call: Call, grammars: Grammars) -> SampledRow:
    """A row for a call, with random numbers that follow from its id."""
    schema = call.sampling.json_schema
    uniforms = np.random.default_rng(call.seed).random(call.sampling.max_tokens)
    return SampledRow(call.sampling, uniforms, grammars.matcher(schema) if schema else None)


class RowSampler:
    """Picks the next token of rows, in place of the sampling of an engine."""

    def __init__(self, end_ids: frozenset[int]) -> None:
        """Prepare for a model whose texts end with any of these tokens (at least one)."""
        self._end_ids = end_ids
        self._end = min(end_ids)

    def choose(self, logits_NV: Tensor, rows: Sequence[SampledRow]) -> list[int]:
        """The next token of each row; a row that has ended gets an end token again and again."""
        assert logits_NV.shape[0] == len(rows), (logits_NV.shape, len(rows))
        tokens: list[int] = []
        for start in range(0, len(rows), ROWS_AT_ONCE):
            some = rows[start : start + ROWS_AT_ONCE]
            tokens += self._drawn(logits_NV[start : start + len(some)].float(), some)
        return [self._take(row, token) for row, token in zip(rows, tokens, strict=True)]

    def _drawn(self, logits_NV: Tensor, rows: Sequence[SampledRow]) -> list[int]:
        logits_NV = logits_NV.clone()
        _penalize(logits_NV, rows)
        _mask(logits_NV, rows)
        device = logits_NV.device
        heat_N = torch.tensor([max(row.sampling.temperature, COLDEST) for row in rows])
        uniform_N = torch.tensor([_uniform(row) for row in rows], dtype=torch.float64)
        chances_NV = (logits_NV / heat_N.to(device)[:, None]).softmax(dim=1, dtype=torch.float64)
        tokens_N = _inverse(chances_NV, uniform_N.to(device))
        # Whether a row's tokens are sorted must not depend on its company: only these rows' are.
        cut = [i for i, row in enumerate(rows) if row.sampling.top_p < 1]
        if cut:
            top_p = [rows[i].sampling.top_p for i in cut]
            tokens_N[cut] = _inverse_of_top(chances_NV[cut], uniform_N[cut].to(device), top_p)
        ids: list[int] = tokens_N.tolist()
        return ids

    def _take(self, row: SampledRow, token: int) -> int:
        if row.ended or _is_complete(row):
            row.ended = True
            return self._end
        if len(row.tokens) >= row.sampling.max_tokens:
            return self._end  # the engine has not noticed yet that the row is at its limit
        if row.matcher is not None:
            row.matcher.consume_token(token)
        if token in self._end_ids:
            row.ended = True
            return token
        row.tokens.append(token)
        row.counts[token] += 1
        return token


def _is_complete(row: SampledRow) -> bool:
    return row.matcher is not None and bool(row.matcher.is_stopped())


def _uniform(row: SampledRow) -> float:
    step = len(row.tokens)
    return float(row.uniforms[step]) if step < len(row.uniforms) else 0.0


def _penalize(logits_NV: Tensor, rows: Sequence[SampledRow]) -> None:
    """Lower, in place, what a row has already written (OpenAI's `frequency_penalty`)."""
    places = list(_penalties(rows))
    if places:
        row_ids, token_ids, amounts = zip(*places, strict=True)
        index = (
            torch.tensor(row_ids, device=logits_NV.device),
            torch.tensor(token_ids, device=logits_NV.device),
        )
        lowered = torch.tensor(amounts, dtype=logits_NV.dtype, device=logits_NV.device)
        logits_NV.index_put_(index, -lowered, accumulate=True)


def _penalties(rows: Sequence[SampledRow]) -> Iterator[tuple[int, int, float]]:
    for i, row in enumerate(rows):
        if penalty := row.sampling.frequency_penalty:
            yield from ((i, token, penalty * count) for token, count in row.counts.items())


def _mask(logits_NV: Tensor, rows: Sequence[SampledRow]) -> None:
    """Rule out, in place, what the grammar of a row does not allow next."""
    for i, row in enumerate(rows):
        if row.matcher is None or row.ended or row.matcher.is_stopped():
            continue
        bits = np.frombuffer(row.matcher.compute_bitmask(), dtype=np.uint8)
        allowed = np.unpackbits(bits, bitorder="little", count=logits_NV.shape[1])
        banned = torch.from_numpy(allowed == 0).to(logits_NV.device)
        logits_NV[i].masked_fill_(banned, float("-inf"))


def _inverse(chances_NV: Tensor, uniform_N: Tensor) -> Tensor:
    """Inverse transform sampling over the whole vocabulary."""
    cumulative_NV = chances_NV.cumsum(dim=1)
    target_N1 = uniform_N[:, None] * cumulative_NV[:, -1:]
    found_N = torch.searchsorted(cumulative_NV, target_N1, right=True)[:, 0]
    return found_N.clamp_max(chances_NV.shape[1] - 1)


def _inverse_of_top(chances_NV: Tensor, uniform_N: Tensor, top_p: Sequence[float]) -> Tensor:
    """The same inside the smallest set of tokens that holds each row's top_p."""
    sorted_NV, ids_NV = chances_NV.sort(dim=1, descending=True, stable=True)
    share_N = torch.tensor(top_p, dtype=torch.float64, device=chances_NV.device)
    before_NV = sorted_NV.cumsum(dim=1) - sorted_NV
    kept_NV = torch.where(before_NV < share_N[:, None], sorted_NV, 0.0)
    position_N = _inverse(kept_NV, uniform_N)
    return ids_NV.gather(1, position_N[:, None])[:, 0]
