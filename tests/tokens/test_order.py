from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shards import memory_shard

from steep.tokens.order import Mixture, Stream, row_source

lengths = st.lists(st.integers(0, 9), min_size=1, max_size=12).filter(any)
counts = st.integers(1, 17)
rates = st.floats(0, 0.99) | st.sampled_from([0.0, 0.1, 0.29, 0.3, 0.5, 2 / 3])


@given(lengths, st.integers(0, 60), st.lists(st.integers(0, 20), max_size=5))
def test_parts_of_the_stream_are_the_stream(sizes: list[int], start: int, parts: list[int]) -> None:
    stream = Stream(memory_shard(sizes), seed=3)
    edges = [start, *itertools.accumulate(parts, initial=start)]
    pieces = [stream.read(a, b - a) for a, b in itertools.pairwise(edges)]
    assert np.concatenate(pieces).tolist() == stream.read(start, sum(parts)).tolist()
    assert sum(map(len, pieces)) == sum(parts)


@given(lengths, st.integers(0, 2**63 - 1))
def test_every_epoch_holds_every_text_once_and_whole(sizes: list[int], seed: int) -> None:
    shard = memory_shard(sizes)
    stream, tokens = Stream(shard, seed), sum(sizes)
    texts = [tuple(piece) for piece in np.split(shard.ids.tolist(), shard.ends[:-1]) if len(piece)]
    starts = {text[0]: text for text in texts}
    for epoch in range(3):
        rest = tuple(stream.read(epoch * tokens, tokens).tolist())
        seen = []
        while rest:
            text = starts[rest[0]]
            assert rest[: len(text)] == text
            seen.append(text)
            rest = rest[len(text) :]
        assert sorted(seen) == sorted(texts)


def test_order_changes_with_the_epoch_and_the_seed() -> None:
    shard = memory_shard([3] * 20)
    orders = [Stream(shard, seed).read(epoch * 60, 60) for seed in (0, 1) for epoch in range(3)]
    assert len({tuple(order) for order in orders}) == 6
    again = Stream(shard, 1).read(120, 60)
    assert again.tolist() == orders[-1].tolist()
    # The same on every machine.
    assert Stream(memory_shard([2] * 5), 0).read(0, 10).tolist() == [0, 1, 4, 5, 2, 3, 8, 9, 6, 7]


def test_tokens_are_ready_for_the_model() -> None:
    assert Stream(memory_shard([3]), 0).read(1, 7).dtype == np.int64
    assert Stream(memory_shard([3]), 0).read(1, 0).tolist() == []


@given(rates, st.integers(0, 10_000))
def test_replay_has_its_exact_share_after_every_row(rate: float, rows: int) -> None:
    upto = rows % 500
    sources = [row_source(row, rate) for row in range(upto)]
    assert sum(each.source == "replay" for each in sources) == math.floor(upto * rate)
    for source in ("corpus", "replay"):
        positions = [each.position for each in sources if each.source == source]
        assert positions == list(range(len(positions))), "no row is skipped, none comes twice"
    one = row_source(rows, rate)
    replayed = math.floor(rows * rate)
    assert one.position == (replayed if one.source == "replay" else rows - replayed)


def mixture(sizes: list[int], rate: float, context: int, replay: bool = True) -> Mixture:
    general = Stream(memory_shard([5, 4], first_id=1000), 1) if replay else None
    return Mixture(Stream(memory_shard(sizes), 0), general, context, rate)


@given(lengths, rates, st.integers(1, 8), st.lists(st.integers(1, 4), min_size=1, max_size=5))
def test_rows_do_not_depend_on_how_they_are_asked_for(
    sizes: list[int], rate: float, context: int, parts: list[int]
) -> None:
    mixed = mixture(sizes, rate, context)
    firsts = itertools.accumulate(parts, initial=0)
    apart = np.concatenate([mixed.rows(a, n) for a, n in zip(firsts, parts, strict=False)])
    together = mixture(sizes, rate, context).rows(0, sum(parts))
    assert together.shape == (sum(parts), context)
    assert apart.tolist() == together.tolist()


@given(lengths, rates, st.integers(1, 8), st.integers(1, 40), st.booleans())
def test_the_ledger_counts_what_the_rows_hold(
    sizes: list[int], rate: float, context: int, count: int, replay: bool
) -> None:
    mixed = mixture(sizes, rate, context, replay)
    rows, ledger = mixed.rows(0, count), mixed.ledger(count)
    replayed = int((rows >= 1000).sum())
    assert ledger["tokens"] == rows.size == ledger["corpus_tokens"] + ledger["replayed_tokens"]
    assert ledger["replayed_tokens"] == replayed
    assert (replayed == 0) or replay
    assert ledger["epochs"] == (rows.size - replayed) / sum(sizes)
    seen = len(np.unique(rows[rows < 1000]))
    assert ledger["unseen_tokens"] == sum(sizes) - seen
    corpus = rows[rows < 1000]
    assert corpus.tolist() == mixed.corpus.read(0, corpus.size).tolist(), "nothing is skipped"


@pytest.mark.parametrize("rate", [0.0, 0.1])
def test_without_replay_text_every_row_is_corpus(rate: float) -> None:
    rows = mixture([7, 7], rate, 5, replay=False).rows(0, 30)
    assert rows.max() < 1000
