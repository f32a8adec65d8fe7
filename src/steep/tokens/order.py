"""A shard as an endless stream; any part is a pure function of (seed, position).

In each epoch, the stream has all texts of its shard, or a chosen subset of them, one after the
other, in a new random order. No text is dropped and no tail is lost (the authors' code shuffles
once, cuts, and drops the tail, which for five short articles is a fifth of them). There is no
loader state: any position can be read at once, after the order of its epoch is computed (0.1 s and
16 MB for a million texts; the orders of two epochs are cached).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from steep.core.ids import derive_seed
from steep.core.permutation import Permutation
from steep.tokens.shard import TokenShard

ORDERS_KEPT = 2  # a row may cross from one epoch into the next


class Pieces(NamedTuple):
    """Consecutive parts of texts in a stream, one entry per part, none empty."""

    texts: NDArray[np.int64]  # number of the text in the shard
    firsts: NDArray[np.int64]  # the part's first token in the shard
    counts: NDArray[np.int64]  # its tokens


class Span(NamedTuple):
    """T tokens of a stream; `last_T` marks ends of texts, `learned_T` marks possible labels."""

    ids_T: NDArray[np.int64]
    last_T: NDArray[np.bool_]
    learned_T: NDArray[np.bool_]


class EpochOrder(NamedTuple):
    """The texts of an epoch in order, and their end offsets in the epoch."""

    texts: NDArray[np.int64]
    ends: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Stream:
    """The endless, reshuffled stream of a shard's tokens."""

    shard: TokenShard
    seed: int
    chosen: NDArray[np.int64] | None = None  # numbers of its texts in the shard; None: all
    _order: Callable[[int], EpochOrder] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_order", lru_cache(maxsize=ORDERS_KEPT)(self._draw_order))

    @cached_property
    def tokens(self) -> int:
        """The tokens of one epoch."""
        if self.chosen is None:
            return self.shard.manifest.tokens
        return int(self._lengths.sum())

    def read(self, start: int, count: int) -> Span:
        """Return tokens [start, start + count) of the stream; O(1) in the number of epochs."""
        pieces = self.pieces(start, count)
        after = np.cumsum(pieces.counts)
        shifts = pieces.firsts - (after - pieces.counts)
        index = np.arange(count) + np.repeat(shifts, pieces.counts)
        last_T = np.zeros(count, np.bool_)
        whole = pieces.firsts + pieces.counts == self.shard.ends[pieces.texts]
        last_T[after[whole] - 1] = True
        mask = self.shard.loss_mask
        learned_T = np.ones(count, np.bool_) if mask is None else np.asarray(mask[index], np.bool_)
        return Span(np.asarray(self.shard.ids[index], np.int64), last_T, learned_T)

    def pieces(self, start: int, count: int) -> Pieces:
        """Return the parts of texts that tokens [start, start + count) come from."""
        found = [Pieces(*(np.empty(0, np.int64) for _ in Pieces._fields))]
        while count > 0:
            epoch, offset = divmod(start, self.tokens)
            here = min(count, self.tokens - offset)
            found.append(self._pieces_of_epoch(epoch, offset, here))
            start, count = start + here, count - here
        return Pieces(*map(np.concatenate, zip(*found, strict=True)))

    def _pieces_of_epoch(self, epoch: int, offset: int, count: int) -> Pieces:
        order = self._order(epoch)
        first, last = np.searchsorted(order.ends, [offset, offset + count - 1], side="right")
        texts, ends = order.texts[first : last + 1], order.ends[first : last + 1]
        starts = np.maximum(np.append(offset, ends[:-1]), offset)
        stops = np.minimum(ends, offset + count)
        in_shard = self.shard.ends[texts] - (ends - starts)
        some = stops > starts
        return Pieces(texts[some], in_shard[some], (stops - starts)[some])

    def _draw_order(self, epoch: int) -> EpochOrder:
        lengths = self._lengths
        drawn = Permutation(len(lengths), derive_seed(self.seed, "epoch", epoch)).as_array()
        texts = drawn if self.chosen is None else self.chosen[drawn]
        return EpochOrder(texts, np.cumsum(lengths[drawn]))

    @property
    def _lengths(self) -> NDArray[np.int64]:
        lengths = np.diff(self.shard.ends, prepend=0)
        return lengths if self.chosen is None else lengths[self.chosen]
