"""Training rows as a pure function of (seed, row), independent of the number of ranks.

Rows of `context_tokens` are cut from the corpus stream, and a share of the rows comes from other
streams: general text against forgetting (replay), and instructions. Shares are exact after every
row: after n rows, floor(n * rate) of them are of the first share, and each further share is
distributed in the same way over the remaining rows.

- `replay_mode="add"`: the corpus stream pauses for a replay row, so that no synthetic token is
  skipped. A run of n rows reads n * (1 - rate) rows of corpus.
- `replay_mode="replace"`, as in the authors' code: a biased coin per row decides if a replay row,
  drawn with replacement, takes the place of a corpus row, which is skipped in that epoch (a tenth
  of the corpus at rate 0.1). The coin is a hash of (seed, row), instead of a global random state.

Texts are packed one after the other. Plain packing lets a token attend to earlier texts in the row,
as in the paper's code. `isolate_documents` restarts positions with every text, from which
`transformers` derives an attention mask that isolates texts, and lets no text predict the first
token of the next. The model must then get no attention mask: a mask of ones undoes the isolation.

Shapes: B rows, T = context_tokens.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import groupby
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from steep.core.errors import UserError
from steep.core.ids import derive_seed
from steep.tokens.order import Pieces, Stream

IGNORED = -100  # the label that cross-entropy ignores, in torch and transformers
RANGES_NAMED = 8  # maximum number of ranges in a message

ShareName = Literal["replay", "instruction"]
Source = Literal["corpus"] | ShareName


class RowBatch(NamedTuple):
    """Training rows. `labels_BT[b, t]` is the token that position t predicts, or IGNORED."""

    ids_BT: NDArray[np.int64]
    labels_BT: NDArray[np.int64]
    positions_BT: NDArray[np.int64] | None


class RowPlace(NamedTuple):
    """The origin of a row: the row at `position` of the stream of `source`."""

    source: Source
    position: int


@dataclass(frozen=True)
class MixtureShare:
    """A stream, and the share of all rows that come from it."""

    name: ShareName
    stream: Stream
    rate: float


class _SpanBT(NamedTuple):
    """A `Span` for each row."""

    ids_BT: NDArray[np.int64]
    last_BT: NDArray[np.bool_]
    learned_BT: NDArray[np.bool_]


class _Replacing(NamedTuple):
    """Which corpus rows are replaced by which of `choices` rows of replay."""

    rate: float
    choices: int
    coin_seed: int
    draw_seed: int

    def rows(self, first: int, stop: int) -> NDArray[np.bool_]:
        """Return a mask of the corpus rows [first, stop) that are replaced."""
        return _uniform(self.coin_seed, first, stop) < self.rate

    def drawn(self, row: int) -> int:
        """Return the replay row that takes the place of a corpus row."""
        return int(_uniform(self.draw_seed, row, row + 1)[0] * self.choices)


@dataclass(frozen=True)
class Mixture:
    """Training rows from a corpus and other streams."""

    corpus: Stream  # the stream to learn
    shares: tuple[MixtureShare, ...]  # streams that are mixed in, at most one of each name
    context_tokens: int
    # add replay rows to the corpus rows, or replace some of these
    replay_mode: Literal["add", "replace"] = "add"
    isolate_documents: bool = False  # prevent attention between the texts of a row

    def __post_init__(self) -> None:
        assert len({share.name for share in self.shares}) == len(self.shares)
        rates = {share.name: share.rate for share in self.shares}
        if min(rates.values(), default=0) < 0 or sum(map(_exact, rates.values())) >= 1:
            raise UserError(
                "These rates leave no row for the corpus.",
                expected="rates of at least 0, with a sum below 1",
                found=", ".join(f"{name} {rate}" for name, rate in rates.items()),
            )

    def rows(self, first: int, count: int) -> RowBatch:
        """Return rows [first, first + count)."""
        ids_BT, last_BT, learned_BT = self._read([self.place(first + b) for b in range(count)])
        labels_BT = np.full_like(ids_BT, IGNORED)
        labels_BT[:, :-1] = np.where(learned_BT[:, 1:], ids_BT[:, 1:], IGNORED)
        if not self.isolate_documents:
            return RowBatch(ids_BT, labels_BT, None)
        labels_BT[last_BT] = IGNORED
        return RowBatch(ids_BT, labels_BT, positions_of(last_BT))

    def place(self, row: int) -> RowPlace:
        """Return the origin of a row; O(1)."""
        for share, rate in self._added:
            before, after = math.floor(row * rate), math.floor((row + 1) * rate)
            if after > before:
                return RowPlace(share.name, before)
            row -= before
        if (replacing := self._replacing) and replacing.rows(row, row + 1)[0]:
            return RowPlace("replay", replacing.drawn(row))
        return RowPlace("corpus", row)

    def ledger(self, rows: int) -> dict[str, float]:
        """Account for the tokens of the first `rows` rows; the parts add up.

        `replaced_tokens` of the corpus are replaced by replay, and included in `epochs`;
        `unseen_tokens` of the corpus are in no row. O(1), or O(rows) with `replay_mode="replace"`.
        """
        counts: dict[str, int] = {"replay": 0, "instruction": 0}
        left = rows
        for share, rate in self._added:
            counts[share.name] = math.floor(left * rate)
            left -= counts[share.name]
        skipped = np.empty(0, np.int64)
        if replacing := self._replacing:
            skipped = np.flatnonzero(replacing.rows(0, left))
            counts["replay"] = len(skipped)
        tokens = self.context_tokens
        corpus_rows = left - len(skipped)
        assert corpus_rows + sum(counts.values()) == rows
        return {
            "tokens": rows * tokens,
            "corpus_tokens": corpus_rows * tokens,
            "replayed_tokens": counts["replay"] * tokens,
            "instruction_tokens": counts["instruction"] * tokens,
            "replaced_tokens": len(skipped) * tokens,
            "epochs": self.epochs(rows),
            "unseen_tokens": self._unseen(left, skipped),
        }

    def epochs(self, rows: int) -> float:
        """Return the passes over the corpus in the first `rows` rows; O(1)."""
        for _, rate in self._added:
            rows -= math.floor(rows * rate)
        return rows * self.context_tokens / self.corpus.tokens

    def fingerprint(self) -> dict[str, Any]:
        """Return everything that decides the rows, as flat data, so that a change can be named."""
        found: dict[str, Any] = {
            "context_tokens": self.context_tokens,
            "isolate_documents": self.isolate_documents,
        }
        for name, stream in self._streams().items():
            manifest = stream.shard.manifest
            found[f"{name}.sha256"] = manifest.sha256
            found[f"{name}.tokenizer"] = manifest.tokenizer
            found[f"{name}.seed"] = stream.seed
            if stream.chosen is not None:
                found[f"{name}.texts"] = hashlib.sha256(stream.chosen.tobytes()).hexdigest()[:16]
        for place, share in enumerate(self.shares):
            found |= {f"{share.name}.rate": share.rate, f"{share.name}.place": place}
            if share.name == "replay":
                found["replay.mode"] = self.replay_mode
        return found

    def describe(self, first: int, count: int) -> str:
        """Return the origin of rows: "rows 32-47: corpus texts 120-131, replay text 7"."""
        texts: dict[Source, set[int]] = {}
        for row in range(first, first + count):
            place = self.place(row)
            texts.setdefault(place.source, set()).update(self._pieces(place).texts.tolist())
        named = [f"{name} {_ranges('text', found)}" for name, found in sorted(texts.items())]
        return f"{_ranges('row', range(first, first + count))}: {', '.join(named)}"

    def _streams(self) -> dict[Source, Stream]:
        return {"corpus": self.corpus, **{share.name: share.stream for share in self.shares}}

    def _read(self, places: list[RowPlace]) -> _SpanBT:
        """Read rows, neighbors in a stream together, which takes less than half the time."""
        shape = (len(places), self.context_tokens)
        found = _SpanBT(np.empty(shape, np.int64), np.empty(shape, bool), np.empty(shape, bool))
        for source, stream in self._streams().items():
            mine = [b for b, place in enumerate(places) if place.source == source]
            for run in _runs(mine, [places[b].position for b in mine]):
                start = places[run[0]].position * self.context_tokens
                span = stream.read(start, len(run) * self.context_tokens)
                for rows_BT, part_T in zip(found, span, strict=True):
                    rows_BT[run] = part_T.reshape(len(run), -1)
        return found

    def _pieces(self, place: RowPlace) -> Pieces:
        stream, start = self._streams()[place.source], place.position * self.context_tokens
        return stream.pieces(start, self.context_tokens)

    @cached_property
    def _added(self) -> list[tuple[MixtureShare, Fraction]]:
        """Return the added shares, each with its part of the rows that earlier shares leave."""
        found, left = [], Fraction(1)
        for share in self.shares:
            if share.name != "replay" or self.replay_mode == "add":
                found.append((share, _exact(share.rate) / left))
                left -= _exact(share.rate)
        return found

    @cached_property
    def _replacing(self) -> _Replacing | None:
        """Return how corpus rows are replaced; its rate is of the rows that are not added."""
        left = 1 - sum(_exact(share.rate) for share, _ in self._added)
        for share in self.shares:
            if share.name == "replay" and self.replay_mode == "replace":
                return _Replacing(
                    rate=float(_exact(share.rate) / left),
                    choices=math.ceil(share.stream.tokens / self.context_tokens),
                    coin_seed=derive_seed(share.stream.seed, "replaces"),
                    draw_seed=derive_seed(share.stream.seed, "drawn"),
                )
        return None

    def _unseen(self, corpus_rows: int, skipped: NDArray[np.int64]) -> int:
        """Return the corpus tokens in no row: in every epoch in a skipped row or past the end.

        Each epoch has its own order, so the unread parts of all epochs are intersected.
        """
        corpus = self.corpus.tokens
        end = corpus_rows * self.context_tokens
        if not len(skipped):
            return max(0, corpus - end)
        epochs = math.ceil(end / corpus)
        gaps = [(row * self.context_tokens, self.context_tokens) for row in skipped.tolist()]
        pieces = [self.corpus.pieces(*gap) for gap in [*gaps, (end, epochs * corpus - end)]]
        firsts = np.concatenate([each.firsts for each in pieces])
        counts = np.concatenate([each.counts for each in pieces])
        edges = np.concatenate([firsts, firsts + counts])
        order = np.argsort(edges, kind="stable")
        depth = np.cumsum(np.repeat([1, -1], len(firsts))[order])
        return int(np.diff(edges[order])[depth[:-1] == epochs].sum())


def positions_of(last_BT: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return positions that restart after every end of a text."""
    columns = np.arange(last_BT.shape[1])
    starts_BT = np.zeros(last_BT.shape, np.int64)
    starts_BT[:, 1:] = np.where(last_BT[:, :-1], columns[1:], 0)
    return columns - np.maximum.accumulate(starts_BT, axis=1)


def _exact(rate: float) -> Fraction:
    """Return the rate that was written: 0.29 is 29/100, whose hundred rows are 29 and not 28."""
    return Fraction(str(rate))


def _uniform(seed: int, first: int, stop: int) -> NDArray[np.float64]:
    """Return numbers in [0, 1), hashes of (seed, index): SplitMix64 (Steele et al., 2014)."""
    state = np.arange(first + 1, stop + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    state += np.uint64(seed)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((state ^ (state >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / 2**53


def _runs(items: list[int], numbers: list[int]) -> list[list[int]]:
    """Cut items where their numbers do not count on by one."""
    groups = groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])
    return [[items[place] for place, _ in group] for _, group in groups]


def _ranges(noun: str, numbers: Iterable[int]) -> str:
    """Return "texts 3, 7-9" for a message, with a limited number of ranges."""
    ordered = sorted(numbers)
    runs = _runs(ordered, ordered)
    named = [f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs]
    rest = f" and {len(named) - RANGES_NAMED} more" if len(named) > RANGES_NAMED else ""
    return f"{noun}{'s' * (len(ordered) > 1)} {', '.join(named[:RANGES_NAMED])}{rest}"
