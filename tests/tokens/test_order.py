from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from shards import memory_shard

from steep.tokens.order import Stream

lengths = st.lists(st.integers(0, 9), min_size=1, max_size=12).filter(any)


@given(lengths, st.integers(0, 60), st.lists(st.integers(0, 20), max_size=5))
def test_parts_of_the_stream_are_the_stream(sizes: list[int], start: int, parts: list[int]) -> None:
    stream = Stream(memory_shard(sizes), seed=3)
    edges = [start, *itertools.accumulate(parts, initial=start)]
    spans = [stream.read(a, b - a) for a, b in itertools.pairwise(edges)]
    whole = stream.read(start, sum(parts))
    for parts_of_it, expected in zip(zip(*spans, strict=True), whole, strict=True):
        assert np.concatenate(parts_of_it).tolist() == expected.tolist()
    assert len(whole.ids_T) == sum(parts)


@given(lengths, st.integers(0, 2**63 - 1))
def test_every_epoch_holds_every_text_once_and_whole(sizes: list[int], seed: int) -> None:
    shard = memory_shard(sizes)
    stream, tokens = Stream(shard, seed), sum(sizes)
    texts = [tuple(piece) for piece in np.split(shard.ids.tolist(), shard.ends[:-1]) if len(piece)]
    for epoch in range(3):
        span = stream.read(epoch * tokens, tokens)
        ends = np.flatnonzero(span.last_T) + 1
        assert ends[-1] == tokens
        seen = [tuple(piece) for piece in np.split(span.ids_T.tolist(), ends[:-1])]
        assert sorted(seen) == sorted(texts)


@given(lengths, st.integers(0, 60), st.integers(0, 60))
def test_the_pieces_are_what_is_read(sizes: list[int], start: int, count: int) -> None:
    shard = memory_shard(sizes)
    stream = Stream(shard, 9)
    pieces = stream.pieces(start, count)
    ids = [shard.ids[a : a + n] for a, n in zip(pieces.firsts, pieces.counts, strict=True)]
    assert np.concatenate([*ids, []]).tolist() == stream.read(start, count).ids_T.tolist()
    starts = shard.ends[pieces.texts] - np.array(sizes)[pieces.texts]
    assert (starts <= pieces.firsts).all()
    assert (pieces.firsts + pieces.counts <= shard.ends[pieces.texts]).all()


@given(lengths, st.integers(0, 60), st.integers(0, 60), st.data())
def test_the_loss_mask_goes_with_its_tokens(
    sizes: list[int], start: int, count: int, data: st.DataObject
) -> None:
    mask = data.draw(st.lists(st.integers(0, 1), min_size=sum(sizes), max_size=sum(sizes)))
    span = Stream(memory_shard(sizes, loss_mask=mask), 1).read(start, count)
    assert span.learned_T.tolist() == [bool(mask[token]) for token in span.ids_T]


def test_order_changes_with_the_epoch_and_the_seed() -> None:
    shard = memory_shard([3] * 20)
    orders = [Stream(shard, s).read(epoch * 60, 60).ids_T for s in (0, 1) for epoch in range(3)]
    assert len({tuple(order) for order in orders}) == 6
    again = Stream(shard, 1).read(120, 60).ids_T
    assert again.tolist() == orders[-1].tolist()
    # The same on every machine.
    golden = [0, 1, 4, 5, 2, 3, 8, 9, 6, 7]
    assert Stream(memory_shard([2] * 5), 0).read(0, 10).ids_T.tolist() == golden


def test_tokens_are_ready_for_the_model() -> None:
    assert Stream(memory_shard([3]), 0).read(1, 7).ids_T.dtype == np.int64
    assert Stream(memory_shard([3]), 0).read(1, 0).ids_T.tolist() == []
