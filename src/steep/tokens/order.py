"""Which tokens a training row holds, as a pure function of (seed, row): no loader state to lose.

A shard is read as an endless stream: in every epoch all its texts, in an order drawn for that
epoch, one directly after the other; rows of `context_tokens` are cut from the stream. No text is
dropped and no tail is lost, however small the corpus (the authors' code shuffles once, cuts, and
drops the tail, which for a corpus of five short articles would be a fifth of it).

Replay is added, not substituted: of every 1/rate rows one comes from the replay shard, and the
synthetic stream pauses for it, so that no synthetic token is skipped (the authors' code replaces
a synthetic block and thereby skips a tenth of them). The same row is the same tokens on every
machine, at any world size, before and after a restart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from steep.core.ids import derive_seed
from steep.core.permutation import Permutation
from steep.tokens.shard import TokenShard


@dataclass(frozen=True, eq=False)
class Stream:
    """The endless, reshuffled stream of a shard's tokens."""

    shard: TokenShard
    seed: int
    _lengths: NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        lengths = np.diff(self.shard.ends, prepend=0)
        object.__setattr__(self, "_lengths", lengths)

    def read(self, start: int, count: int) -> NDArray[np.int64]:
        """Return tokens [start, start + count) of the stream; O(1) in the number of epochs."""
        pieces: list[NDArray[np.int64]] = []
        while count > 0:
            epoch, offset = divmod(start, self.shard.manifest.tokens)
            piece = self._read_epoch(epoch, offset, count)
            pieces.append(piece)
            start, count = start + len(piece), count - len(piece)
        return np.concatenate(pieces) if pieces else np.empty(0, np.int64)

    def _read_epoch(self, epoch: int, offset: int, count: int) -> NDArray[np.int64]:
        """Read on from `offset` of an epoch: the rest of one text, at most `count` tokens."""
        order, ends = self._order(epoch)
        position = int(np.searchsorted(ends, offset, side="right"))
        text = order[position]
        left = int(ends[position]) - offset
        end = int(self.shard.ends[text])
        first = end - left
        return np.asarray(self.shard.ids[first : min(end, first + count)], dtype=np.int64)

    @lru_cache(maxsize=2)  # noqa: B019 - one entry an epoch; a stream lives as long as its run
    def _order(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        permutation = Permutation(len(self._lengths), derive_seed(self.seed, "epoch", epoch))
        order = np.fromiter((permutation[i] for i in range(len(permutation))), np.int64)
        return order, np.cumsum(self._lengths[order])


class Row(NamedTuple):
    """Where a training row comes from: the row at `position` of the corpus or the replay stream."""

    source: Literal["corpus", "replay"]
    position: int


def row_source(row: int, replay_rate: float) -> Row:
    """Spread replay evenly: after n rows, floor(n * rate) of them were replay, exactly."""
    before, after = math.floor(row * replay_rate), math.floor((row + 1) * replay_rate)
    return Row("replay", before) if after > before else Row("corpus", row - before)


@dataclass(frozen=True)
class Mixture:
    """Training rows from a corpus and a replay stream.

    Attributes:
        corpus: The stream to learn.
        replay: General text against forgetting, or None.
        context_tokens: Length T of a row.
        replay_rate: Share of rows that come from `replay`.
    """

    corpus: Stream
    replay: Stream | None
    context_tokens: int
    replay_rate: float

    def rows(self, first: int, count: int) -> NDArray[np.int64]:
        """Return rows [first, first + count) as ids_BT."""
        return np.stack([self._row(row) for row in range(first, first + count)])

    def ledger(self, rows: int) -> dict[str, float]:
        """Account for the tokens of the first `rows` rows; the parts add up.

        `unseen_tokens` are corpus tokens that a run shorter than an epoch leaves out.
        """
        replayed = math.floor(rows * self._rate) * self.context_tokens
        trained = rows * self.context_tokens - replayed
        corpus = self.corpus.shard.manifest.tokens
        return {
            "tokens": rows * self.context_tokens,
            "corpus_tokens": trained,
            "replayed_tokens": replayed,
            "epochs": trained / corpus,
            "unseen_tokens": max(0, corpus - trained),
        }

    @property
    def _rate(self) -> float:
        return self.replay_rate if self.replay is not None else 0.0

    def _row(self, row: int) -> NDArray[np.int64]:
        source, position = row_source(row, self._rate)
        stream = self.replay if source == "replay" and self.replay else self.corpus
        return stream.read(position * self.context_tokens, self.context_tokens)
