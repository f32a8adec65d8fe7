from __future__ import annotations

import math

import pytest
from small_corpus import DOCUMENTS

from steep.retrieval.chunks import cut_documents
from steep.retrieval.index import Hit, fuse
from steep.retrieval.measures import Asked, RetrievalQuality, bears_answer, measure

CHUNKS = cut_documents(DOCUMENTS, 40).chunks  # ferry 0-2, glass 3-4, eels 5-6


def ranked(*places: int) -> list[Hit]:
    return [Hit(place, 1.0 / rank) for rank, place in enumerate(places, start=1)]


def test_recall_reciprocal_rank_and_gain() -> None:
    found = RetrievalQuality(ranks=(2, 4), relevant=3)
    assert [found.recall(k) for k in (1, 2, 8)] == [0, 1, 1]
    assert found.reciprocal_rank == 0.5
    gain = 1 / math.log2(3) + 1 / math.log2(5)
    ideal = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert found.ndcg(8) == pytest.approx(gain / ideal)
    assert found.ndcg(2) == pytest.approx(1 / math.log2(3) / (1 + 1 / math.log2(3)))
    assert found.ndcg(1) == 0


def test_a_perfect_ranking_and_an_empty_one() -> None:
    assert RetrievalQuality((1, 2, 3), 3).ndcg(8) == pytest.approx(1)
    for nothing in (RetrievalQuality((), 3), RetrievalQuality((), 0)):
        assert (nothing.recall(8), nothing.reciprocal_rank, nothing.ndcg(8)) == (0, 0, 0)


def test_right_documents_and_chunks_with_the_answer() -> None:
    assert len(CHUNKS) == 7
    asked = [
        Asked("q1", "ferry", ("Odile  marsh",)),
        Asked("q2", "eels"),
        Asked("q3", "glass", ("a word that is nowhere",)),
    ]
    rankings = [ranked(6, 0, 1), ranked(0, 5), ranked(3)]
    rows = measure(asked, rankings, CHUNKS)
    assert [row.question_id for row in rows] == ["q1", "q2", "q3"]
    assert rows[0].document == RetrievalQuality((2, 3), 3)
    assert rows[0].answer == RetrievalQuality((3,), 1)
    assert rows[1].document == RetrievalQuality((2,), 2)
    assert rows[1].answer is None
    assert rows[2].answer == RetrievalQuality((), 0)


def test_an_answer_in_a_chunk_of_another_document_does_not_count() -> None:
    (row,) = measure([Asked("q", "ferry", ("captain",))], [ranked(6)], CHUNKS)
    assert "captain" in CHUNKS[6].text
    assert row.answer == RetrievalQuality((), 1)


@pytest.mark.parametrize(
    ("answers", "bears"),
    [
        (["1979"], True),
        (["197"], False),
        (["in Old\nKiln"], True),
        (["ld kiln"], False),
        (["(cold)"], True),
        (["nowhere", "OLD"], True),
        ([], False),
    ],
)
def test_answers_are_whole_words(answers: list[str], bears: bool) -> None:
    assert bears_answer("By 1979 it stood in\nold kiln 3 (cold).", answers) is bears


def test_an_answer_within_a_script_without_blanks_is_found() -> None:
    text = "维尔莫拉是科兰岛北岸的港口, 建于1979年。"
    assert bears_answer(text, ["科兰岛"]) and bears_answer(text, ["1979年"])
    assert not bears_answer(text, ["丹马罗"]) and not bears_answer(text, ["979年"])


def test_fusing_adds_reciprocal_ranks() -> None:
    fused = fuse([ranked(4, 2), ranked(2, 7)], 3)
    assert [hit.place for hit in fused] == [2, 4, 7]
    assert fused[0].score == pytest.approx(1 / 62 + 1 / 61)
    assert [hit.place for hit in fuse([ranked(9), ranked(3)], 2)] == [3, 9]  # equal: the earlier
    assert fuse([ranked(4), []], 5) == [Hit(4, 1 / 61)]
