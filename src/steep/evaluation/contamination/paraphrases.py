"""Find questions in synthetic texts that ask the same in other words, by embedding.

Only sentences that end in a question mark are embedded: a statement that answers a question is what
synthetic texts are for. Beyond a maximum number of distinct sentences, a fixed sample of them is
compared (those with the lowest hashes), and the number of all is kept beside it.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np

from steep.core.calls import RAW_RECIPE
from steep.core.ids import stable_hash
from steep.core.words import word_spans, words_of
from steep.documents.sentences import ends_sentence
from steep.evaluation.contamination_results import PARAPHRASE, Overlap
from steep.evaluation.questions import Question
from steep.retrieval.embed import Embedder, checked_vectors
from steep.retrieval.index import Vectors

T = TypeVar("T")
LEAST_WORDS = 4  # "Why is that?" asks nothing that can be compared
EMBEDDED_AT_ONCE = 512
_MARK = re.compile("[?\uff1f\u061f]")  # of Latin, Chinese and Arabic script
_LABEL = re.compile(r"(?:\W*(?:\d+[.):]|\w+ ?\d*[:\uff1a]))*\W*")  # "Question 3:", "1."


class FoundQuestion(NamedTuple):
    """A question in the texts of a recipe, with the first passage that asks it."""

    text: str
    recipe: str
    passage_id: str


@dataclass(frozen=True)
class QuestionSample:
    """The questions in texts that are compared, and the number of all questions in them."""

    questions: tuple[FoundQuestion, ...]
    sentences: int


def question_sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a text that end in a question mark, without numbers and labels."""
    for line in text.split("\n"):
        if not _MARK.search(line):
            continue
        spans = word_spans(line)
        start = 0
        for (word, end), (following, _) in pairwise([*spans, (len(line), 0)]):
            if not ends_sentence(line[word:end], line[end:following]):
                continue
            sentence = line[start:end]
            start = following
            if _MARK.search(sentence[-3:]):
                bare = sentence[_LABEL.match(sentence).end() :].strip()  # type: ignore[union-attr]
                if len(words_of(bare)) >= LEAST_WORDS:
                    yield bare


def sample_questions(texts: Iterable[tuple[str, str, str]], most: int) -> QuestionSample:
    """Return the questions in texts (id, recipe, text), at most so many distinct ones."""
    kept: dict[str, FoundQuestion] = {}
    hashes: list[tuple[int, str]] = []  # a heap with the highest hash first
    sentences = 0
    for passage_id, recipe, text in texts:
        for sentence in question_sentences(text):
            sentences += 1
            key = stable_hash([recipe, words_of(sentence)], 16)
            if key in kept:
                continue
            order = (-int(key, 16), key)
            if len(kept) < most:
                heapq.heappush(hashes, order)
            elif order > hashes[0]:
                del kept[heapq.heapreplace(hashes, order)[1]]
            else:
                continue
            kept[key] = FoundQuestion(sentence, recipe, passage_id)
    return QuestionSample(tuple(kept[key] for key in sorted(kept)), sentences)


def find_paraphrases(
    embedder: Embedder,
    questions: Sequence[Question],
    found: Sequence[FoundQuestion],
    source: Sequence[str],
    similarity: float,
) -> list[Overlap]:
    """Return the overlaps of questions with those in texts, from a similarity (cosine) on.

    Where the source documents ask the same, texts only quote it.
    """
    asked_QD = _embedded(embedder, [each.question for each in questions])
    own = [FoundQuestion(each, RAW_RECIPE, RAW_RECIPE) for each in dict.fromkeys(source)]
    best: dict[tuple[int, str], tuple[float, FoundQuestion, int]] = {}
    for some in _chunks([*own, *found]):
        cosines_QS = asked_QD @ _embedded(embedder, [each.text for each in some]).T
        for number, place in np.argwhere(cosines_QS >= similarity).tolist():
            cosine, each = float(cosines_QS[number, place]), some[place]
            before = best.get((number, each.recipe))
            times = before[2] + 1 if before else 1
            if before is None or cosine > before[0]:
                best[number, each.recipe] = (cosine, each, times)
            else:
                best[number, each.recipe] = (*before[:2], times)
    in_source = {number for number, recipe in best if recipe == RAW_RECIPE}
    return [
        Overlap(
            question_id=questions[number].id,
            measure=PARAPHRASE,
            recipe=recipe,
            passages=0 if number in in_source else times,
            quoting=times if number in in_source else 0,
            passage_id=each.passage_id,
            words=0,
            similarity=round(cosine, 4),
            excerpt=each.text,
        )
        for (number, recipe), (cosine, each, times) in sorted(best.items())
    ]


def _embedded(embedder: Embedder, texts: Sequence[str]) -> Vectors:
    vectors = [
        checked_vectors(embedder.name, embedder.embed(some), some) for some in _chunks(texts)
    ]
    return np.concatenate(vectors)


def _chunks(each: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(each), EMBEDDED_AT_ONCE):
        yield each[start : start + EMBEDDED_AT_ONCE]
