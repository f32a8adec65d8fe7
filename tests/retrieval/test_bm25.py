from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steep.core.words import words_of
from steep.retrieval import index
from steep.retrieval.index import BM25Index, Hit

TEXTS = st.lists(
    st.lists(st.sampled_from(["salt", "eel", "ferry", "glass", "old"]), max_size=12).map(" ".join),
    min_size=1,
    max_size=12,
)


def textbook(texts: Sequence[str], question: str) -> list[float]:
    """The formula, word by word."""
    split = [words_of(text) for text in texts]
    mean = sum(map(len, split)) / len(split) or 1
    scores = []
    for words in split:
        score = 0.0
        for word in words_of(question):
            having = sum(word in each for each in split)
            rarity = math.log(1 + (len(split) - having + 0.5) / (having + 0.5))
            count = Counter(words)[word]
            score += rarity * count / (count + 1.5 * (1 - 0.75 + 0.75 * len(words) / mean))
        scores.append(score)
    return scores


def found(texts: Sequence[str], question: str, k: int = 99) -> list[Hit]:
    (hits,) = BM25Index(texts).search([question], k)
    return hits


@given(texts=TEXTS, question=TEXTS.map(" ".join))
def test_scores_are_those_of_the_formula(texts: list[str], question: str) -> None:
    expected = textbook(texts, question)
    hits = found(texts, question)
    assert {hit.place for hit in hits} == {n for n, score in enumerate(expected) if score > 0}
    for hit in hits:
        assert hit.score == pytest.approx(expected[hit.place], rel=1e-9)


def test_the_best_come_first_and_equal_ones_in_order() -> None:
    texts = ["glass", "eel eel", "eel", "eel", "salt"]
    assert [hit.place for hit in found(texts, "EEL!")] == [1, 2, 3]
    assert [hit.place for hit in found(texts, "eel", k=2)] == [1, 2]


def test_no_shared_word_finds_nothing() -> None:
    assert found(["glass", "salt"], "eel") == []
    assert found(["...", ""], "eel") == []


def test_scripts_without_blanks_are_read_by_character() -> None:
    assert words_of("Öl in 東京 2020") == ["öl", "in", "東", "京", "2020"]
    assert [hit.place for hit in found(["大阪です", "東京です"], "東京は")] == [1]


def test_blocks_of_questions_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    texts, questions = ["salt eel", "glass", "ferry salt"], ["salt", "glass ferry", "old", "eel"]
    at_once = list(BM25Index(texts).search(questions, 2))
    monkeypatch.setattr(index, "BM25_BLOCK_SCORES", 3)
    assert list(BM25Index(texts).search(questions, 2)) == at_once
