from __future__ import annotations

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steep.retrieval import index
from steep.retrieval.index import Hit, VectorIndex, Vectors, best


def unit(seed: int, rows: int, dimension: int = 8) -> Vectors:
    vectors = np.random.default_rng(seed).normal(size=(rows, dimension))
    normed: Vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return normed


@given(scores=st.lists(st.integers(-3, 3), min_size=1, max_size=30), k=st.integers(1, 35))
def test_best_is_a_stable_sort(scores: list[int], k: int) -> None:
    expected = sorted(range(len(scores)), key=lambda n: -scores[n])[:k]
    assert [hit.place for hit in best(np.array(scores, np.float32), k)] == expected
    above = [n for n in expected if scores[n] > 0]
    assert [hit.place for hit in best(np.array(scores, np.float32), k, above=0.0)] == above


def test_inner_product_and_euclidean_distance_rank_alike() -> None:
    vectors, questions = unit(0, 500), unit(1, 20)
    distances = np.linalg.norm(questions[:, None] - vectors[None], axis=2)
    for hits, row in zip(VectorIndex(vectors).search(questions, 10), distances, strict=True):
        assert [hit.place for hit in hits] == np.argsort(row, kind="stable")[:10].tolist()


def test_blocks_give_the_same_and_equal_vectors_keep_their_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vectors = np.concatenate([unit(0, 50), unit(0, 50)])  # each vector twice
    questions = unit(1, 30)
    at_once = list(VectorIndex(vectors).search(questions, 8))
    for hits in at_once:
        pairs = zip(hits[::2], hits[1::2], strict=True)
        assert all(later == Hit(first.place + 50, first.score) for first, later in pairs)
    monkeypatch.setattr(index, "BLOCK_SCORES", 700)
    assert list(VectorIndex(vectors).search(questions, 8)) == at_once


def test_faiss_gives_the_same_hits() -> None:
    pytest.importorskip("faiss")
    vectors = np.concatenate([unit(0, 3_000, 32), unit(0, 100, 32)])  # some of them twice
    questions = unit(1, 40, 32)
    exact = list(VectorIndex(vectors).search(questions, 20))
    faiss = list(VectorIndex(vectors, faiss_from=1).search(questions, 20))
    assert faiss == exact


def test_without_faiss_many_vectors_are_searched_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(index, "find_spec", lambda name: None)
    with caplog.at_level(logging.WARNING):
        many = VectorIndex(unit(0, 20), faiss_from=20)
    assert "faiss-cpu" in caplog.text
    assert list(many.search(unit(1, 3), 5)) == list(VectorIndex(unit(0, 20)).search(unit(1, 3), 5))
