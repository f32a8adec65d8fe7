from __future__ import annotations

import itertools
import json
from dataclasses import replace
from fractions import Fraction
from typing import Any, Literal, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shards import memory_shard

from steep.core.errors import UserError
from steep.tokens.mixture import IGNORED, Mixture, MixtureShare
from steep.tokens.order import Stream

REPLAY_IDS, INSTRUCTION_IDS = 1000, 2000  # the first of each, in these tests
INSTRUCTION_MASK = [0, 0, 1, 1, 0, 1]

lengths = st.lists(st.integers(0, 9), min_size=1, max_size=12).filter(any)
rates = st.floats(0, 0.49) | st.sampled_from([0.0, 0.1, 0.29, 0.3, 1 / 3])
modes = st.sampled_from(["add", "replace"])


def mixture(
    sizes: list[int],
    context: int,
    replay: float | None = None,
    instruction: float | None = None,
    mode: Literal["add", "replace"] = "add",
    isolate: bool = False,
) -> Mixture:
    shares = []
    if replay is not None:
        stream = Stream(memory_shard([5, 4], REPLAY_IDS), 1)
        shares.append(MixtureShare("replay", stream, replay))
    if instruction is not None:
        stream = Stream(memory_shard([4, 2], INSTRUCTION_IDS, INSTRUCTION_MASK), 2)
        shares.append(MixtureShare("instruction", stream, instruction))
    corpus = Stream(memory_shard(sizes), 0)
    return Mixture(corpus, tuple(shares), context, mode, isolate)


class Drawn(NamedTuple):
    mixture: Mixture
    context: int
    corpus_tokens: int


@st.composite
def mixtures(draw: Any) -> Drawn:
    sizes, context = draw(lengths), draw(st.integers(1, 8))
    replay, instruction = draw(st.none() | rates), draw(st.none() | rates)
    mixed = mixture(sizes, context, replay, instruction, draw(modes), draw(st.booleans()))
    return Drawn(mixed, context, sum(sizes))


def counted(mixed: Mixture, rows: int) -> dict[str, int]:
    sources = [mixed.place(row).source for row in range(rows)]
    return {name: sources.count(name) for name in ("corpus", "replay", "instruction")}


@given(mixtures(), st.lists(st.integers(1, 4), min_size=1, max_size=5))
def test_rows_do_not_depend_on_how_they_are_asked_for(drawn: Drawn, parts: list[int]) -> None:
    mixed, again = drawn.mixture, replace(drawn.mixture)
    edges = list(itertools.accumulate(parts, initial=0))
    together = mixed.rows(0, sum(parts))
    assert together.ids_BT.shape == together.labels_BT.shape == (sum(parts), drawn.context)
    # The parts backwards, as ranks and restarts may ask for them, of an object without a past.
    apart = [again.rows(a, b - a) for a, b in itertools.pairwise(edges)][::-1]
    for whole, pieces in zip(together, zip(*apart[::-1], strict=True), strict=True):
        if whole is None:
            assert set(pieces) == {None} and not mixed.isolate_documents
        else:
            assert np.concatenate(pieces).tolist() == whole.tolist()


@pytest.mark.parametrize("mode", ["add", "replace"])
@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_rows_do_not_depend_on_the_world_size(
    mode: Literal["add", "replace"], world_size: int
) -> None:
    batch, steps = 8, 5
    expected = mixture([7, 5, 9], 6, 0.3, 0.2, mode).rows(0, batch * steps).ids_BT
    ranks = [mixture([7, 5, 9], 6, 0.3, 0.2, mode) for _ in range(world_size)]
    share = batch // world_size
    for step in range(steps):
        found = [r.rows(step * batch + n * share, share).ids_BT for n, r in enumerate(ranks)]
        assert np.concatenate(found).tolist() == expected[step * batch :][:batch].tolist()


@given(mixtures(), st.integers(1, 60))
def test_the_ledger_counts_what_the_rows_hold(drawn: Drawn, count: int) -> None:
    ids_BT = drawn.mixture.rows(0, count).ids_BT
    ledger = drawn.mixture.ledger(count)
    replayed = int(((ids_BT >= REPLAY_IDS) & (ids_BT < INSTRUCTION_IDS)).sum())
    instruction = int((ids_BT >= INSTRUCTION_IDS).sum())
    corpus = ids_BT.size - replayed - instruction
    assert (ledger["replayed_tokens"], ledger["instruction_tokens"]) == (replayed, instruction)
    assert ledger["tokens"] == ids_BT.size and ledger["corpus_tokens"] == corpus
    assert ledger["epochs"] == drawn.mixture.epochs(count)
    assert ledger["epochs"] == (corpus + ledger["replaced_tokens"]) / drawn.corpus_tokens
    seen = len(np.unique(ids_BT[ids_BT < REPLAY_IDS]))
    assert ledger["unseen_tokens"] == drawn.corpus_tokens - seen
    if drawn.mixture.replay_mode == "replace":
        assert ledger["replaced_tokens"] == replayed
    else:
        assert ledger["replaced_tokens"] == 0


@given(lengths, rates, rates, st.integers(1, 8), st.integers(1, 60))
def test_added_shares_leave_no_corpus_token_out(
    sizes: list[int], replay: float, instruction: float, context: int, count: int
) -> None:
    mixed = mixture(sizes, context, replay, instruction)
    ids_BT = mixed.rows(0, count).ids_BT
    corpus = ids_BT[ids_BT < REPLAY_IDS]
    assert corpus.tolist() == mixed.corpus.read(0, corpus.size).ids_T.tolist()
    for share, top in zip(mixed.shares, (INSTRUCTION_IDS, 10**6), strict=True):
        first = REPLAY_IDS if share.name == "replay" else INSTRUCTION_IDS
        found = ids_BT[(ids_BT >= first) & (ids_BT < top)]
        assert found.tolist() == share.stream.read(0, found.size).ids_T.tolist()


@given(rates, rates, st.integers(0, 300))
def test_shares_are_exact_after_every_row(replay: float, instruction: float, rows: int) -> None:
    counts = counted(mixture([3], 4, replay, instruction), rows)
    assert counts["replay"] == rows * Fraction(str(replay)) // 1
    assert abs(counts["instruction"] - rows * instruction) < 1 + instruction / (1 - replay)
    assert sum(counts.values()) == rows


@pytest.mark.parametrize(("rate", "rows", "expected"), [(0.29, 100, 29), (0.1, 30, 3)])
def test_a_rate_means_what_is_written(rate: float, rows: int, expected: int) -> None:
    assert counted(mixture([3], 4, rate), rows)["replay"] == expected


@given(mixtures(), st.integers(0, 10**12))
def test_any_row_can_be_read_at_once(drawn: Drawn, row: int) -> None:
    rows = drawn.mixture.rows(row, 2)
    assert rows.ids_BT.shape == (2, drawn.context)
    assert drawn.mixture.rows(row + 1, 1).ids_BT[0].tolist() == rows.ids_BT[1].tolist()


def test_replacing_replay_takes_the_place_of_the_corpus_row() -> None:
    mixed = mixture([50] * 4, 5, replay=0.25, mode="replace")
    places = [mixed.place(row) for row in range(4000)]
    kept = [row for row, place in enumerate(places) if place.source == "corpus"]
    assert [places[row].position for row in kept] == kept, "the others are skipped"
    drawn = [place.position for place in places if place.source == "replay"]
    assert 900 < len(drawn) < 1100
    assert set(drawn) == {0, 1}, "nine tokens are two rows, drawn again and again"
    assert 0.4 < np.mean(drawn) < 0.6


def test_instructions_are_added_where_replay_replaces() -> None:
    mixed = mixture([50] * 4, 5, replay=0.3, instruction=0.2, mode="replace")
    counts = counted(mixed, 4000)
    assert counts["instruction"] == 800
    assert 1100 < counts["replay"] < 1300, "the rate is of all rows"
    positions = [p.position for p in map(mixed.place, range(50)) if p.source == "instruction"]
    assert positions == list(range(10))


def test_replacing_leaves_less_unseen_with_every_epoch() -> None:
    mixed = mixture([40] * 10, 4, replay=0.3, mode="replace")
    unseen = [mixed.ledger(100 * epochs)["unseen_tokens"] for epochs in (1, 2, 3)]
    assert 80 < unseen[0] < 160 and unseen[0] > unseen[1] > unseen[2]


def test_the_rows_are_the_same_on_every_machine() -> None:
    rows = mixture([3, 2, 4], 4, 0.25, 0.2, isolate=True).rows(0, 6)
    assert rows.ids_BT.tolist() == [
        [0, 1, 2, 5],
        [6, 7, 8, 3],
        [4, 0, 1, 2],
        [1005, 1006, 1007, 1008],
        [2000, 2001, 2002, 2003],
        [3, 4, 5, 6],
    ]
    replaced = mixture([3, 2, 4], 4, 0.25, 0.2, "replace").rows(0, 6)
    assert replaced.ids_BT.tolist() == [
        [0, 1, 2, 5],
        [6, 7, 8, 3],
        [1000, 1001, 1002, 1003],
        [3, 4, 5, 6],
        [2000, 2001, 2002, 2003],
        [1005, 1006, 1007, 1008],
    ]


@given(mixtures())
def test_labels_are_the_next_tokens(drawn: Drawn) -> None:
    rows = drawn.mixture.rows(0, 20)
    ends = spans_of(drawn.mixture, 20)
    for ids, labels, last in zip(rows.ids_BT, rows.labels_BT, ends, strict=True):
        for t, label in enumerate(labels):
            if t + 1 == len(ids) or (drawn.mixture.isolate_documents and last[t]):
                assert label == IGNORED
            elif ids[t + 1] >= INSTRUCTION_IDS:
                learned = INSTRUCTION_MASK[ids[t + 1] - INSTRUCTION_IDS]
                assert label == (ids[t + 1] if learned else IGNORED)
            else:
                assert label == ids[t + 1]


def spans_of(mixed: Mixture, rows: int) -> list[Any]:
    streams: dict[str, Stream] = {
        "corpus": mixed.corpus,
        **{share.name: share.stream for share in mixed.shares},
    }
    places = map(mixed.place, range(rows))
    context = mixed.context_tokens
    return [streams[p.source].read(p.position * context, context).last_T for p in places]


@given(mixtures())
def test_isolated_positions_restart_with_every_text(drawn: Drawn) -> None:
    mixed = replace(drawn.mixture, isolate_documents=True)
    positions_BT = mixed.rows(0, 20).positions_BT
    assert positions_BT is not None
    for positions, last in zip(positions_BT, spans_of(mixed, 20), strict=True):
        expected = 0
        for position, ended in zip(positions, last, strict=True):
            assert position == expected
            expected = 0 if ended else expected + 1


def test_no_label_crosses_from_text_to_text_under_isolation() -> None:
    # Texts begin with ids 0, 3 and 5; only plain packing may predict those within a row.
    plain = mixture([3, 2, 4], 9).rows(0, 4).labels_BT
    isolated = mixture([3, 2, 4], 9, isolate=True).rows(0, 4).labels_BT
    assert {0, 3, 5} <= set(plain.ravel().tolist())
    assert not {0, 3, 5} & set(isolated.ravel().tolist())
    assert {1, 2, 4, 6, 7, 8} <= set(isolated.ravel().tolist())


def test_a_fingerprint_changes_with_whatever_decides_the_rows() -> None:
    base = mixture([3, 2], 4, 0.2, 0.1)
    other_manifest = replace(base.corpus.shard.manifest, sha256="other", tokenizer="new")
    shard = replace(base.corpus.shard, manifest=other_manifest)
    replay, instruction = base.shares
    changed: list[tuple[list[str], Mixture]] = [
        (["context_tokens"], replace(base, context_tokens=5)),
        (["isolate_documents"], replace(base, isolate_documents=True)),
        (["replay.mode"], replace(base, replay_mode="replace")),
        (["replay.rate"], replace(base, shares=(replace(replay, rate=0.3), instruction))),
        (["replay.place", "instruction.place"], replace(base, shares=(instruction, replay))),
        (["corpus.seed"], replace(base, corpus=Stream(base.corpus.shard, 5))),
        (["corpus.sha256", "corpus.tokenizer"], replace(base, corpus=Stream(shard, 0))),
    ]
    before = base.fingerprint()
    assert json.loads(json.dumps(before)) == before
    for fields, other in changed:
        after = other.fingerprint()
        assert after.keys() == before.keys()
        assert {name for name in before if before[name] != after[name]} == set(fields)
    assert "replay.mode" not in mixture([3], 4).fingerprint(), "it decides nothing there"


def test_rows_are_described_by_their_texts() -> None:
    mixed = mixture([4] * 30, 4, replay=0.25)
    corpus = [int(text) for text in mixed.corpus.pieces(0, 12).texts]
    found = mixed.describe(0, 4)
    assert found.startswith("rows 0-3: corpus texts ") and ", replay text" in found
    assert all(str(text) in found for text in corpus)
    assert mixture([2, 2, 2], 6).describe(7, 1) == "row 7: corpus texts 0-2"
    assert len(mixture([4] * 400, 4).describe(0, 100)) < 120, "not every text of many is named"
    assert "more" in mixture([4] * 400, 4).describe(0, 100)


@pytest.mark.parametrize("shares", [(0.5, 0.5), (-0.1, 0.2)])
def test_shares_that_leave_nothing_to_learn_are_refused(shares: tuple[float, float]) -> None:
    with pytest.raises(UserError, match="leave no row") as caught:
        mixture([3], 4, *shares)
    assert f"replay {shares[0]}, instruction {shares[1]}" in str(caught.value)
