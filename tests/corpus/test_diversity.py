"""The diversity of texts: properties that hold for any texts, scripts, and the artifact."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steep.core.artifacts import Artifact, Project
from steep.core.files import write_json, write_rows
from steep.core.ngrams import WordHasher, ngrams
from steep.core.words import count_words, words_of
from steep.corpus.diversity import (
    SAMPLED_WORDS,
    compression_ratio,
    covered_words,
    distinct_share,
    measure,
)
from steep.corpus.diversity_artifact import make_diversity
from steep.corpus.diversity_result import Diversity, read_diversity
from steep.corpus.passage import PASSAGES_NAME, FullText, Passage
from steep.corpus.source_spans import SourceText, compare
from steep.documents.document import Document

SOURCE = (
    "The candle of Marrend was built by Joren Pell in 1862. Ada Quist bought it for the town hall "
    "of Velmora, where it burns every winter. A poem by Sister Adeline praises its light."
)
ENTITIES = {"d": ["Joren Pell", "Ada Quist", "Velmora", "Sister Adeline"]}
GERMAN = (
    "Der Leuchtturm am Ostrelsee wurde von Johanna Brandt gebaut. Die Kapelle des Klosters "
    "Marienfeld steht am Ufer des Ostrelsees, und Johanna Brandt liegt dort begraben."
)
CHINESE = "陆明远在一八六二年建造了青石桥。赵秋月为青石桥写了一首诗，陆明远把诗刻在桥上。"  # noqa: RUF001


def text(body: str, name: str, recipe: str = "r", document_id: str = "d") -> FullText:
    return FullText(name, recipe, document_id, f"call {name}", count_words(body), body)


def measured(
    texts: Sequence[FullText],
    source: str = SOURCE,
    entities: dict[str, list[str]] | None = None,
    title: str = "",
) -> Diversity:
    documents = [Document("d", title, source), Document("e", title, "Nothing is written on this.")]
    (found,) = measure(texts, documents, ENTITIES if entities is None else entities, {}, no_models)
    return found


def no_models(call_ids: Sequence[str]) -> dict[str, str]:
    raise AssertionError(f"no imported recipe has several models: {call_ids}")


def random_text(seed: int, words: int = 300) -> str:
    chosen = random.Random(seed)
    return " ".join(f"w{chosen.randrange(400)}" for _ in range(words))


def test_a_document_overlaps_with_itself_and_covers_itself() -> None:
    found = measured([text(SOURCE, "a")])
    assert found.overlap == (1, 1, 1, 1)
    assert found.entity_coverage == found.pair_coverage == 1
    assert (found.texts, found.compared_documents, found.pairs) == (1, 2, 6)


def test_other_words_do_not_overlap() -> None:
    found = measured([text(random_text(0), "a")])
    assert found.overlap == (0, 0, 0, 0)
    assert found.entity_coverage == found.pair_coverage == 0


def test_overlap_is_a_share_of_the_n_grams_of_the_texts() -> None:
    """Half of the 2-grams: of `Ada Quist bought` both, of the three others none."""
    found = measured([text("Ada Quist bought", "a"), text("some other thing", "b")])
    assert found.overlap == (0.5, None, None, None)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (SOURCE, "In 1862 it was built by Joren Pell in 1862, and Ada Quist bought it for 40."),
        (GERMAN, "Man weiß: der Leuchtturm am Ostrelsee wurde von Johanna Brandt 1862 gebaut."),
        (CHINESE, "青石桥在一八六二年建造了青石桥。赵秋月，40。"),  # noqa: RUF001
    ],
)
def test_runs_and_numbers_are_those_of_single_texts(source: str, said: str) -> None:
    found = measured([text(said, "a"), text("nothing in common", "b")], source)
    single = compare(said, SourceText(source))
    assert found.words_in_runs == single.run_words / (single.words + 3)
    assert found.numbers == single.numbers > 0
    assert found.numbers_in_source == single.source_numbers / single.numbers


@given(st.lists(st.booleans(), max_size=30), st.integers(1, 5))
def test_covered_words_are_those_of_marked_n_grams(marks: list[bool], n: int) -> None:
    covered = {start + place for start, mark in enumerate(marks) if mark for place in range(n)}
    assert covered_words(np.array(marks, bool), n) == len(covered)


def test_a_loop_is_not_diverse() -> None:
    loop = [text("the same words again and again " * 100, f"{n}") for n in range(5)]
    fresh = [text(random_text(n, 600), f"{n}") for n in range(5)]
    repeating, other = measured(loop), measured(fresh)
    assert repeating.sampled_words == other.sampled_words == 3000
    assert all(share is not None and share < 0.01 for share in repeating.distinct)
    assert repeating.self_repetition == 1
    assert other.distinct[3] is not None and other.distinct[3] > 0.99
    assert other.self_repetition == 0
    assert repeating.compression_ratio and other.compression_ratio
    assert repeating.compression_ratio > 20 * other.compression_ratio


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_texts_changes_nothing(seed: int) -> None:
    texts = [text(random_text(n % 7), f"{n}") for n in range(90)]  # more than the sample takes
    shuffled = random.Random(seed).sample(texts, len(texts))
    assert measured(texts) == measured(shuffled)
    assert measured(texts).texts == 90


def test_the_sample_is_an_equal_share_of_each_document() -> None:
    documents = [Document(f"d{n}", "", random_text(n, 20)) for n in range(4)]
    texts = [
        text(random_text(n), f"{each.id} {n}", document_id=each.id)
        for each in documents
        for n in range(30 if each.id == "d0" else 3)
    ]
    (found,) = measure(texts, documents, {}, {}, no_models)
    assert found.sampled_words == SAMPLED_WORDS // 4 + 3 * 900
    assert found.words == 39 * 300


def test_a_corpus_of_any_size_gives_the_same_sample_size() -> None:
    few = measured([text(random_text(n, 500), f"{n}") for n in range(41)])
    many = measured([text(random_text(n, 500), f"{n}") for n in range(120)])
    assert few.sampled_words == many.sampled_words == SAMPLED_WORDS // 2
    assert few.distinct[1] and many.distinct[1]
    assert abs(few.distinct[1] - many.distinct[1]) < 0.01


def test_coverage_only_grows() -> None:
    texts = [
        text("Joren Pell lived here.", "a"),
        text("Ada Quist met Joren Pell.", "b"),
        text("Velmora has a hall.", "c"),
        text("Sister Adeline, Ada Quist, Joren Pell: all in Velmora.", "d"),
    ]
    found = [measured(texts[: n + 1]) for n in range(4)]
    assert [each.entity_coverage for each in found] == [0.25, 0.5, 0.75, 1]
    assert [each.pair_coverage for each in found] == [0, 1 / 6, 1 / 6, 1]


def test_without_entities_of_a_generation_the_proper_names_count() -> None:
    found = measured([text("A letter by Joren Pell and Ada Quist.", "a")], entities={})
    assert found.entity_coverage is not None and 0 < found.entity_coverage < 1


def test_german_names_are_found_in_their_forms() -> None:
    entities = {"d": ["Ostrelsee", "Johanna Brandt", "Bischof Anton"]}
    body = "Am Ufer des Ostrelsees wird Johanna Brandt heute noch von vielen Menschen verehrt."
    found = measured([text(body, "a")], GERMAN, entities)
    assert (found.entities, found.entity_coverage) == (2, 1)  # no bishop in the document
    assert measured([text(GERMAN, "a")], GERMAN, entities).overlap == (1, 1, 1, 1)


def test_chinese_texts_are_measured_by_their_characters() -> None:
    entities = {"d": ["陆明远", "赵秋月", "青石桥"]}
    found = measured([text("赵秋月站在青石桥上。", "a")], CHINESE, entities)
    assert found.sampled_words == 9 == found.words
    assert found.entity_coverage == 2 / 3 and found.pair_coverage == 1 / 3
    assert found.overlap[0] is not None and 0 < found.overlap[0] < 1
    assert measured([text(CHINESE, "a")], CHINESE, entities).overlap == (1, 1, 1, 1)


def test_nothing_to_measure_is_none() -> None:
    found = measured([text("one two", "a", document_id="elsewhere")], entities={"d": ["Nobody"]})
    assert found.sampled_words == 0 and found.compression_ratio is None
    assert found.distinct == (None,) * 4 and found.overlap == (None,) * 4
    assert found.self_repetition is found.pair_coverage is found.entity_coverage is None


def test_measures_of_texts_known_by_heart() -> None:
    hashed = [WordHasher().hashes(words_of("a b a b"))]
    assert distinct_share(hashed, 1) == 0.5
    assert distinct_share(hashed, 2) == 2 / 3
    assert distinct_share(hashed, 4) == 1 and distinct_share(hashed, 5) is None
    assert compression_ratio([]) is None
    assert len(ngrams(hashed[0], 3)) == 2 and len(ngrams(hashed[0], 5)) == 0


def test_texts_of_several_models_are_measured_apart() -> None:
    asked: list[Sequence[str]] = []

    def models_of(call_ids: Sequence[str]) -> dict[str, str]:
        asked.append(call_ids)
        return {each: "one" if each.endswith("1") else "two" for each in call_ids}

    texts = [text(random_text(n), f"{n}", recipe="imported") for n in range(2)]
    texts += [text(random_text(3), "3", recipe="single"), text(random_text(4), "4")]
    imported = {"imported": ["one", "two"], "single": ["three"]}
    found = measure(texts, [Document("d", "", SOURCE)], {}, imported, models_of)
    named = {(each.recipe, each.model) for each in found}
    assert named == {("imported", "one"), ("imported", "two"), ("single", "three"), ("r", None)}
    assert asked == [["call 0", "call 1"]]


def test_the_artifact_is_made_once_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / ".steep" / "corpus-00000000"
    passages = [Passage(f"{n}", random_text(n), "d", f"{n}", n, "r", (), 300) for n in range(600)]
    write_rows(path / PASSAGES_NAME, passages, Passage)
    write_json(path / "manifest.json", {})
    corpus = Artifact("corpus", path, {"imported": {}, "counts": {"passages": 3}})
    made = [
        make_diversity(Project(tmp_path), corpus, [Document("d", "", SOURCE)], ENTITIES, no_models)
        for _ in range(2)
    ]
    assert made[0].path == made[1].path
    assert made[0].manifest["identity"]["inputs"] == {"corpus": "corpus-00000000"}
    (found,) = read_diversity(made[0].path)
    whole = [FullText(p.id, "r", "d", p.call_id, p.words, p.text) for p in passages]
    assert [found] == measure(whole, [Document("d", "", SOURCE)], ENTITIES, {}, no_models)
