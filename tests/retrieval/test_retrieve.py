from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from small_corpus import DOCUMENTS, Letters, Shortest

from steep.core.errors import UserError
from steep.retrieval.cache import RetrievalCache
from steep.retrieval.chunks import cut_documents
from steep.retrieval.config import RetrievalConfig, SearchName
from steep.retrieval.index import Hit, Vectors
from steep.retrieval.rerank import Candidates, LikelihoodReranker
from steep.retrieval.retrieve import (
    Retriever,
    rerank,
    top_chunks,
)

CHUNKS = cut_documents(DOCUMENTS, 40).chunks
WORDS = RetrievalConfig(search="bm25")
QUESTIONS = ["Who is captain of the Quillon Ferry?", "What is green in Velmora?"]


def rank(settings: RetrievalConfig = WORDS, **parts: Any) -> list[list[Hit]]:
    with RetrievalCache() as cache:
        return Retriever(CHUNKS, settings, cache, **parts).rank(QUESTIONS)


def places(rankings: Sequence[Sequence[Hit]]) -> list[list[int]]:
    return [[hit.place for hit in hits] for hits in rankings]


def test_words_find_the_chunk() -> None:
    first, second = rank()
    assert CHUNKS[first[0].place].text == "Its captain is Odile Marsh."
    assert CHUNKS[second[0].place].text == "Velmora makes green glass."


def test_embeddings_see_every_chunk_and_words_only_those_that_share_one() -> None:
    by_vectors = rank(RetrievalConfig(search="embeddings"), embedder=Letters())
    assert [len(hits) for hits in by_vectors] == [7, 7]
    assert len(rank()[1]) < 7
    assert [len(hits) for hits in rank(RetrievalConfig(found=3), embedder=Letters())] == [3, 3]


def test_fused_ranks_use_both() -> None:
    fused = rank(RetrievalConfig(search="fused"), embedder=Letters())
    by_words, by_vectors = rank(), rank(RetrievalConfig(search="embeddings"), embedder=Letters())
    for ours, words, vectors in zip(*map(places, (fused, by_words, by_vectors)), strict=True):
        scores = {
            place: sum(1 / (61 + each.index(place)) for each in (words, vectors) if place in each)
            for place in range(7)
        }
        assert ours == sorted(scores, key=lambda place: (-scores[place], place))


def test_prefixes_stand_before_what_is_embedded() -> None:
    embedder = Letters()
    settings = RetrievalConfig(
        search="embeddings", question_prefix="query: ", chunk_prefix="passage: "
    )
    rank(settings, embedder=embedder)
    assert embedder.embedded[0] == f"passage: {CHUNKS[0].shown}"
    assert embedder.embedded[-1] == f"query: {QUESTIONS[1]}"


def test_a_ranking_that_is_kept_asks_nobody(tmp_path: Path) -> None:
    settings = RetrievalConfig(search="fused")
    embedder, judge, again, other = Letters(), Shortest(), Letters(), Shortest()
    with RetrievalCache(tmp_path / "cache.db") as cache:
        before = Retriever(CHUNKS, settings, cache, embedder, judge).rank(QUESTIONS)
    with RetrievalCache(tmp_path / "cache.db") as cache:
        after = Retriever(CHUNKS, settings, cache, again, other).rank([*QUESTIONS, "Salt?"])
    assert after[:2] == before
    assert judge.questions == QUESTIONS
    assert other.questions == ["Salt?"]
    assert again.embedded == ["Salt?"]


def test_whatever_changes_a_ranking_changes_its_key() -> None:
    other = Letters()
    other.name = "other"
    settings = RetrievalConfig(search="fused")
    with RetrievalCache() as cache:
        retrievers = [
            Retriever(CHUNKS, settings, cache, Letters()),
            Retriever(CHUNKS, settings, cache, other),
            Retriever(CHUNKS, settings, cache, Letters(), Shortest()),
            Retriever(CHUNKS[1:], settings, cache, Letters()),
            Retriever(CHUNKS, settings.model_copy(update={"found": 5}), cache, Letters()),
            Retriever(CHUNKS, settings.model_copy(update={"chunk_prefix": "x"}), cache, Letters()),
            Retriever(CHUNKS, WORDS, cache, Letters()),
        ]
        assert len({each.key for each in retrievers}) == len(retrievers)
        # A search by words does not depend on an embedder.
        assert Retriever(CHUNKS, WORDS, cache, other).key == retrievers[-1].key


def test_what_was_ranked_before_a_failure_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(Shortest):
        def score(self, candidates: Sequence[Candidates]) -> list[list[float]]:
            if candidates[0].question == QUESTIONS[1]:
                raise UserError("The endpoint is gone.")
            return super().score(candidates)

    monkeypatch.setattr("steep.retrieval.retrieve.QUESTIONS_AT_ONCE", 1)
    judge = Shortest()
    with RetrievalCache() as cache:
        with pytest.raises(UserError, match="gone"):
            Retriever(CHUNKS, WORDS, cache, reranker=Failing()).rank(QUESTIONS)
        Retriever(CHUNKS, WORDS, cache, reranker=judge).rank(QUESTIONS)
    assert judge.questions == QUESTIONS[1:]


@given(depth=st.integers(1, 9), found=st.lists(st.integers(0, 6), unique=True, max_size=7))
def test_a_reranker_orders_the_first_and_leaves_the_rest(depth: int, found: list[int]) -> None:
    hits = [Hit(place, 1.0 / (n + 1)) for n, place in enumerate(found)]
    (ranked,) = rerank(Shortest(), ["q"], [hits], CHUNKS, depth)
    by_length = sorted(found[:depth], key=lambda place: (len(CHUNKS[place].shown), place))
    assert [hit.place for hit in ranked] == by_length + found[depth:]


@pytest.mark.parametrize("scores", [[[1.0]], [[float("nan")] * 7]])
def test_scores_that_are_none_are_refused(scores: list[list[float]]) -> None:
    class Broken(Shortest):
        def score(self, candidates: Sequence[Candidates]) -> list[list[float]]:
            return scores

    hits = [Hit(place, 0.0) for place in range(7)]
    with pytest.raises(UserError, match="7 finite numbers"):
        rerank(Broken(), ["q"], [hits], CHUNKS, 128)


def test_the_reading_model_as_a_judge_gets_chunk_and_question() -> None:
    asked: list[tuple[str, str]] = []

    def likelihood(prompts: Sequence[str], continuations: Sequence[str]) -> list[float]:
        asked.extend(zip(prompts, continuations, strict=True))
        return [float(n) for n in range(len(prompts))]

    judge = LikelihoodReranker("some model", likelihood)
    scores = judge.score([Candidates("Who?", ("one", "two")), Candidates("When?", ("three",))])
    assert scores == [[0.0, 1.0], [2.0]]
    assert asked[0] == ("one\n\nQuestion:", "Who?")
    assert asked[2] == ("three\n\nQuestion:", "When?")
    assert "some model" in judge.name


def test_top_chunks_come_best_first_or_last() -> None:
    hits = [Hit(3, 0.9), Hit(0, 0.5), Hit(5, 0.1)]
    assert top_chunks(hits, CHUNKS, 2) == [CHUNKS[3], CHUNKS[0]]
    assert top_chunks(hits, CHUNKS, 2, "best_last") == [CHUNKS[0], CHUNKS[3]]
    assert len(top_chunks(hits, CHUNKS, 16)) == 3


@pytest.mark.parametrize("search", ["embeddings", "fused"])
def test_a_search_without_its_embedder_is_refused(search: SearchName) -> None:
    with pytest.raises(UserError, match="needs an embedder"):
        rank(RetrievalConfig(search=search))


def test_numbers_under_one_are_refused() -> None:
    with pytest.raises(ValidationError, match="found"):
        RetrievalConfig(found=0)
    with pytest.raises(ValidationError, match="reranked"):
        RetrievalConfig(reranked=-1)


def test_no_chunks_and_blank_questions_are_refused() -> None:
    with RetrievalCache() as cache:
        with pytest.raises(UserError, match="no chunks"):
            Retriever([], WORDS, cache)
        with pytest.raises(UserError, match="question 2"):
            Retriever(CHUNKS, WORDS, cache).rank(["Who?", " \n"])
        assert Retriever(CHUNKS, WORDS, cache).rank([]) == []


def test_an_embedder_that_changes_its_mind_is_named() -> None:
    class Growing(Letters):
        def embed(self, texts: Sequence[str]) -> Vectors:
            wide = 26 if len(texts) > 3 else 27
            return np.ones((len(texts), wide), np.float32)

    with pytest.raises(UserError, match="26 numbers"):
        rank(RetrievalConfig(search="embeddings"), embedder=Growing())
