# ruff: noqa: RUF001
from __future__ import annotations

import random

import pytest
from built import built

from steep.core import near_duplicates
from steep.core.near_duplicates import NearDuplicates, rows_per_band, sketch_of
from steep.core.words import words_of
from steep.corpus.config import CorpusConfig
from steep.corpus.passage import Candidate
from steep.documents.document import Document

WORDS = [f"w{n}" for n in range(3000)]


def text_of(seed: int, length: int = 300) -> list[str]:
    return random.Random(seed).choices(WORDS, k=length)


def changed(words: list[str], changes: int, seed: int = 0) -> list[str]:
    """Replace words far apart: each changes five sequences of five words."""
    drawn = random.Random(seed)
    words = list(words)
    for place in drawn.sample(range(5, len(words), 8), changes):
        words[place] = drawn.choice(WORDS)
    return words


def jaccard(one: str, other: str) -> float:
    sets = [
        {tuple(words[i : i + 5]) for i in range(len(words) - 4)}
        for words in (words_of(one), words_of(other))
    ]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


@pytest.mark.parametrize("threshold", [0.6, 0.7, 0.8])
def test_pairs_are_found_by_their_jaccard_similarity(threshold: float) -> None:
    """MINIMA = 128 estimate it with a standard error of at most 0.045."""
    index = NearDuplicates(threshold)
    found: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(150):
        one = text_of(seed)
        other = changed(one, seed % 22)
        assert index.add(sketch_of(" ".join(one), threshold))
        similarity = jaccard(" ".join(one), " ".join(other))
        found[not index.add(sketch_of(" ".join(other), threshold))].append(similarity)
    assert min(found[True]) > threshold - 0.14
    assert max(found[False]) < threshold + 0.14
    sure = [each for each in found[True] if each > threshold + 0.05]
    missed = [each for each in found[False] if each > threshold + 0.05]
    assert len(missed) <= 0.1 * len(sure + missed)


def test_merged_and_recent_texts_are_found_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "RECENT_TAGS", 50)
    monkeypatch.setattr(near_duplicates, "TEXTS_IN_BLOCK", 7)
    index = NearDuplicates(0.7)
    texts = [" ".join(text_of(seed)) for seed in range(40)]
    assert all(index.add(sketch_of(text, 0.7)) for text in texts)
    assert not any(index.add(sketch_of(text, 0.7)) for text in texts)


def test_groups_are_not_compared() -> None:
    index, sketch = NearDuplicates(0.7), sketch_of(" ".join(text_of(1)), 0.7)
    assert [index.add(sketch, group) for group in (5, 6, 5, 0, 6)] == [1, 1, 0, 1, 0]


def test_the_sketch_of_a_text_is_pinned() -> None:
    """It decides which texts are near-duplicates: change it on purpose only."""
    sketch = sketch_of("The ferry leaves the harbor of Velmora at noon.", 0.7)
    assert sketch.minima[:8].hex() == "92ca218290265bb4"
    assert (rows_per_band(0.7), len(sketch.tags)) == (6, 4 * 21)


@pytest.mark.parametrize("text", ["", "one", "two words", "渡船", "a " * 5000])
def test_every_text_has_a_sketch(text: str) -> None:
    index = NearDuplicates(0.7)
    assert index.add(sketch_of(text, 0.7))
    assert not index.add(sketch_of(text, 0.7))


CHINESE = (
    "渡船每天四次从维尔莫拉开往佩尔镇，船长索菲亚已经在这条航线上工作了十年。"
    "港口的墙里有一台潮汐泵，它为渡船的电池充电。钟表匠托比亚斯建造了这台机器，"
    "而镇上的人们最初称它为茶匙，因为它抬起的水很少。每年十月，灯笼赛船会从墙下开始。"
)


def test_the_first_of_similar_texts_about_a_document_is_kept() -> None:
    ferry = Document("ferry", "The ferry", " ".join(text_of(90)))
    pump = Document("pump", "The pump", " ".join(text_of(91)))
    one = text_of(1)
    rows = [
        Candidate(" ".join(one), "ferry", "c1", "mine"),
        Candidate(" ".join(changed(one, 4)), "ferry", "c2", "mine"),
        Candidate(" ".join(changed(one, 4, 1)), "pump", "c3", "mine"),
        Candidate(" ".join(changed(one, 30)), "ferry", "c4", "mine"),
    ]

    def rejected(**settings: object) -> dict[str, str]:
        config = CorpusConfig.model_validate(settings)
        return {row.call_id: row.reason for row in built([ferry, pump], rows, config).rejected}

    assert rejected() == {"c2": "near-duplicate"}
    assert rejected(near_duplicates_in="corpus") == dict.fromkeys(("c2", "c3"), "near-duplicate")
    assert rejected(near_duplicates=None) == {}


def test_texts_without_blanks_are_compared_by_their_characters() -> None:
    document = Document("d", "渡船", "维尔莫拉是科兰岛北岸的一个港口，由盐商伊尔萨建立。" * 3)
    other = CHINESE.replace("十年", "二十年")
    texts = [CHINESE, other, CHINESE[::-1]]
    rows = [Candidate(text, "d", f"c{n}", "mine") for n, text in enumerate(texts)]
    found = built([document], rows)
    assert {row.call_id: row.reason for row in found.rejected} == {"c1": "near-duplicate"}
