"""Find phrases of questions and their answers in texts: runs of 8 and of 13 equal words.

The phrases of the questions are in memory and texts pass by, so a corpus of any size takes the
memory of its questions. 13 words are the usual length (Brown et al. 2020, appendix C); 8, their
lower bound, also finds quotations that were altered a little. A question with fewer words counts if
all of its words are there, in order; a shorter answer does not count, as every text about a
document has its names and years. Words are those of `steep.core.words`; of scripts without spaces,
two characters stand for one word.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from steep.core.words import located_words, word_ngrams, word_scale, words_of
from steep.evaluation.questions import Question

LENGTHS = (8, 13)  # words
WHOLE_WORDS = 6  # of the shortest question that counts as a whole
EXCERPT_WORDS = 4  # shown before and after a phrase

Words = tuple[str, ...]


class Match(NamedTuple):
    """The longest run of a question's phrases in a text, for one length of phrases.

    Attributes:
        question: The number of the question.
        length: The length of phrases, in words.
        start: The first word of the run in the text, counted from 0.
        words: The number of words in the run.
        is_quotation: True if the source documents have each of these phrases, too.
    """

    question: int
    length: int
    start: int
    words: int
    is_quotation: bool


class PhraseIndex:
    """The phrases of questions and their right answers.

    `quoted` holds, for each length, the numbers of questions that have a phrase of the source.
    """

    def __init__(self, questions: Sequence[Question], source: Iterable[str] = ()) -> None:
        self._phrases: dict[int, dict[Words, set[int]]] = {length: {} for length in LENGTHS}
        for number, question in enumerate(questions):
            for length in LENGTHS:
                for phrase in _phrases_of(question, length):
                    self._phrases[length].setdefault(phrase, set()).add(number)
        # A text with a longer phrase has a short one, too.
        self._short = _by_size(self._phrases[LENGTHS[0]])
        self._sizes = {length: {*map(len, self._phrases[length])} for length in LENGTHS}
        self._in_source: set[Words] = set()
        self._in_source = {phrase for text in source for phrase in self._found(words_of(text))}
        self.quoted: dict[int, set[int]] = {
            length: {n for phrase, own in found.items() if phrase in self._in_source for n in own}
            for length, found in self._phrases.items()
        }

    def find(self, text: str) -> list[Match]:
        """Return the longest run of each question and length in a text; phrases of runs overlap."""
        words = words_of(text)
        if not self._has_any(words):
            return []
        runs: dict[tuple[int, int], Match] = {}
        longest: dict[tuple[int, int], Match] = {}
        for start, length, phrase in self._places(words):
            is_quotation = phrase in self._in_source
            for number in self._phrases[length][phrase]:
                run = Match(number, length, start, len(phrase), is_quotation)
                before = runs.get(run[:2])
                if before and start <= before.start + before.words:
                    whole = start + len(phrase) - before.start
                    run = before._replace(words=max(before.words, whole))
                    run = run._replace(is_quotation=before.is_quotation and is_quotation)
                runs[run[:2]] = run
                best = longest.get(run[:2])
                longest[run[:2]] = run if best is None or _rank(run) > _rank(best) else best
        return list(longest.values())

    def _has_any(self, words: Sequence[str]) -> bool:
        return any(
            not own.isdisjoint(word_ngrams(words, size)) for size, own in self._short.items()
        )

    def _found(self, words: Sequence[str]) -> set[Words]:
        if not self._has_any(words):
            return set()
        return {phrase for _, _, phrase in self._places(words)}

    def _places(self, words: Sequence[str]) -> Iterator[tuple[int, int, Words]]:
        """Yield start, length and phrase of each phrase in a text, in order for each length."""
        for length, phrases in self._phrases.items():
            found = [
                (start, phrase)
                for size in self._sizes[length]
                for start, phrase in enumerate(word_ngrams(words, size))
                if phrase in phrases
            ]
            yield from ((start, length, phrase) for start, phrase in sorted(found))


def _rank(match: Match) -> tuple[bool, int]:
    return not match.is_quotation, match.words


def excerpt(text: str, match: Match) -> str:
    """Return the part of a text that has the run, with a few words around it, on one line."""
    words = located_words(text)
    first, last = match.start - EXCERPT_WORDS, match.start + match.words - 1 + EXCERPT_WORDS
    start, end = words[max(0, first)].start, words[min(len(words) - 1, last)].end
    return " ".join(text[start:end].split())


def answer_texts(question: Question) -> tuple[str, ...]:
    """Return the accepted answers of a question, or its right options."""
    return question.answers or tuple(question.options[each] for each in question.gold)


def _phrases_of(question: Question, length: int) -> Iterator[Words]:
    for text in (question.question, *answer_texts(question)):
        words = tuple(words_of(text))
        scale = word_scale(words)
        if len(words) >= length * scale:
            yield from word_ngrams(words, length * scale)
        elif text == question.question and len(words) >= WHOLE_WORDS * scale:
            yield words


def _by_size(phrases: Iterable[Words]) -> dict[int, set[Words]]:
    found: dict[int, set[Words]] = {}
    for phrase in phrases:
        found.setdefault(len(phrase), set()).add(phrase)
    return found
