"""Compare a passage with its document: which words it copies, which names and numbers it adds.

    comparison = compare("Brask built 12 pumps.", "Ottoline Brask built nine pumps in 1931.")
    [span.kind for span in comparison.spans]  # ["name", "new number"]

A run is at least `RUN_WORDS` words that stand in the document in the same order (twice as many
characters of scripts without spaces). A number of the document may be written in digits, with
other separators, or as an English word. A name is a capitalized word or several within a sentence
(in German, several); it is in the document if each of its capitalized words is, in other languages
than English in any form. So a new name is a hint that needs a look, and a new number, too: it may
have been calculated, or the document may spell it out.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal, NamedTuple

from steep.core.files import read_jsonl
from steep.core.numbers import located_numbers, number_places
from steep.core.words import LocatedWord, located_words, word_ngrams, word_scale
from steep.documents.document import Document
from steep.documents.language import document_language
from steep.documents.names import SENTENCE_OPENERS, name_spans
from steep.documents.split import whole_documents

RUN_WORDS = 4
FORM_LETTERS, ENDING = 4, 3  # of a word that other forms share, and of what they add
HEADING_WORDS = 10
MOST_PLACES = 50  # in the document, of the same words

Kind = Literal["run", "name", "number", "new name", "new number"]
Place = tuple[int, int]


class SourceSpan(NamedTuple):
    """A part of a passage, in characters, and its place in the document, if it is there."""

    start: int
    end: int
    kind: Kind
    place: Place | None


@dataclass(frozen=True, slots=True)
class SourceComparison:
    """What a passage shares with its document.

    Attributes:
        spans: Disjoint parts of the passage, in order.
        words: Number of words of the passage.
        run_length: The fewest words, or characters of a script without spaces, of a run.
        run_words: Those in runs of the document.
        numbers: Numbers of the passage that are written in digits, each time they occur.
        source_numbers: Those in the document.
        names: Names of the passage, each time they occur.
        source_names: Those in the document.
    """

    spans: tuple[SourceSpan, ...]
    words: int
    run_length: int
    run_words: int
    numbers: int
    source_numbers: int
    names: int
    source_names: int


class SourceText:
    """A document, with the places of its words and numbers, computed once for all passages."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.words = located_words(text)
        self._positions: defaultdict[str, list[int]] = defaultdict(list)
        for position, each in enumerate(self.words):
            self._positions[each.word].append(position)
        self._forms: dict[str, int] = {}
        for word, found in self._positions.items():
            for form in _forms(word):
                self._forms.setdefault(form, found[0])
        self._numbers = number_places(text)

    def place(self, first: int, words: int) -> Place:
        """Return the place of so many words, in characters."""
        return self.words[first].start, self.words[first + words - 1].end

    def number(self, value: str) -> Place | None:
        """Return the place of a number."""
        return self._numbers.get(value)

    def word(self, word: str, language: str | None) -> int | None:
        """Return the position of a word or of another form of it."""
        if word in self._positions:
            return self._positions[word][0]
        forms = _forms(word)
        if language in (None, "en"):  # one is the beginning of the other
            found = (self._positions[form][0] for form in forms if form in self._positions)
            return next(found, self._forms.get(word))
        return next((self._forms[form] for form in forms if form in self._forms), None)

    def sequence(self, words: Sequence[str]) -> Place | None:
        """Return the place of the first of these words in a row."""
        for first in self._positions.get(words[0], ()):
            if [each.word for each in self.words[first : first + len(words)]] == [*words]:
                return self.place(first, len(words))
        return None

    def grams(self, grams: Mapping[tuple[str, ...], Sequence[int]], size: int) -> _Hits:
        """Return the first places of n-grams, given with their places in another text."""
        found: dict[int, list[int]] = defaultdict(list)
        for position, gram in enumerate(word_ngrams([each.word for each in self.words], size)):
            for start in grams.get(gram, ()):
                if len(found[start]) < MOST_PLACES:
                    found[start].append(position)
        return found


def read_sources(path: Path, ids: Container[str]) -> dict[str, SourceText]:
    """Read whole documents by id from a `documents.jsonl`, below the heading that prompts show."""
    documents = (Document(**row) for row in read_jsonl(path))
    wholes = whole_documents(each for each in documents if each.whole_id in ids)
    return {whole_id: SourceText(_with_heading(each)) for whole_id, each in wholes.items()}


def _with_heading(document: Document) -> str:
    first_line = document.text.lstrip().partition("\n")[0]
    is_there = document.title in first_line and not (document.author or document.year)
    return document.text if is_there else f"{document.heading}\n\n{document.text}"


def _forms(word: str) -> list[str]:
    """Return a word, and without its last letters: what it may share with its other forms."""
    return [word[:end] for end in range(len(word), max(FORM_LETTERS, len(word) - ENDING) - 1, -1)]


_Hits = dict[int, list[int]]  # positions in the document by position in the passage


class _Run(NamedTuple):
    """Words of a passage, by position, that stand at a position of the document in a row."""

    start: int
    words: int
    place: Place


class _Label(NamedTuple):
    """What a word of a passage belongs to; equal labels of neighbors make a span."""

    kind: Kind
    place: Place | None
    start: int  # of the run, name or number; so two of them side by side stay two


def compare(passage: str, source: SourceText) -> SourceComparison:
    """Return what a passage shares with its document, and which names and numbers it adds."""
    words = located_words(passage)
    labels: list[_Label | None] = [None] * len(words)
    plain = [each.word for each in words]
    run_length = RUN_WORDS * word_scale(plain)
    for run in _runs(plain, source, run_length):
        label = _Label("run", run.place, run.start)
        labels[run.start : run.start + run.words] = [label] * run.words
    run_words = sum(label is not None for label in labels)
    numbers = list(_numbers(passage, source))
    names = list(_names(passage, words, source))
    for start, end, label in (*(each for name in names for each in name), *numbers):
        for position in _within(words, start, end):
            if labels[position] is None or label.place is None:
                labels[position] = label
    return SourceComparison(
        spans=tuple(_spans(words, labels)),
        words=len(words),
        run_length=run_length,
        run_words=run_words,
        numbers=len(numbers),
        source_numbers=sum(label.place is not None for *_, label in numbers),
        names=len(names),
        source_names=sum(all(label.place is not None for *_, label in name) for name in names),
    )


# ---- runs of words -------------------------------------------------------------------------------


def _runs(words: Sequence[str], source: SourceText, size: int) -> Iterator[_Run]:
    """Yield disjoint runs in order; together they have every word of an n-gram of the document."""
    grams: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for start, gram in enumerate(word_ngrams(words, size)):
        grams[gram].append(start)
    longest = _longest(source.grams(grams, size), size)
    end, number, starts = 0, 0, sorted(longest)
    while number < len(starts):
        first = starts[number]
        if first < end:  # of those that overlap, the one that reaches farthest
            last = bisect_left(starts, end, number)
            first = max(starts[number:last], key=lambda each: each + longest[each][0])
            number = last
        else:
            number += 1
        length, position = longest[first]
        if first + length > end:
            begin = max(first, end)
            yield _Run(begin, first + length - begin, source.place(position, length))
            end = first + length


def _longest(hits: _Hits, size: int) -> dict[int, tuple[int, int]]:
    """Return the length of the longest run from each position, and its first place."""
    lengths: dict[tuple[int, int], int] = {}
    longest = {}
    for start in sorted(hits, reverse=True):
        for position in hits[start]:
            lengths[start, position] = lengths.get((start + 1, position + 1), size - 1) + 1
        longest[start] = max(
            ((lengths[start, position], position) for position in hits[start]),
            key=lambda each: (each[0], -each[1]),
        )
    return longest


# ---- numbers and names ---------------------------------------------------------------------------

_Piece = tuple[int, int, _Label]  # of the passage, in characters
_MARKUP = " \t*_>-\u2022\"'\u201c\u201d\u2018\u2019()[]"  # before a name that opens a line
_FULL_STOPS = (".", "!", "?", "\u2026", "\u3002")
_ENDS = ".!?:;|\u2013\u2014\u2026"  # after which a sentence or a cell of a table may begin


def _numbers(passage: str, source: SourceText) -> Iterator[_Piece]:
    for value, start, end in located_numbers(passage):
        place = source.number(value)
        yield start, end, _Label("new number" if place is None else "number", place, start)


def _names(
    passage: str, words: Sequence[LocatedWord], source: SourceText
) -> Iterator[Sequence[_Piece]]:
    """Yield the parts of each name: one if the document has it, else one per word."""
    language = document_language(passage)
    for start, end in name_spans(passage, language):
        line = passage.rfind("\n", 0, start) + 1
        if passage.startswith("#", line):
            continue
        own = [
            each
            for each in (words[position] for position in _within(words, start, end))
            if passage[each.start].isupper() and each.word not in SENTENCE_OPENERS
        ]
        before = passage[line:start].rstrip(_MARKUP)
        if own and (not before or before[-1] in _ENDS):
            own = own[1:]  # any word is capitalized there
        if len(own) > (language == "de"):  # one word may be any noun there
            found = _name(own, end, source, language)
            if all(each.place for *_, each in found) or not _is_heading(passage, line, start, end):
                yield found


def _name(
    own: Sequence[LocatedWord], end: int, source: SourceText, language: str | None
) -> Sequence[_Piece]:
    start = own[0].start
    positions = [source.word(each.word, language) for each in own]
    if None not in positions:
        place = source.sequence([each.word for each in own]) or source.place(positions[0] or 0, 1)
        return [(start, end, _Label("name", place, start))]
    return [
        (each.start, each.end, _Label("new name", None, start))
        if position is None
        else (each.start, each.end, _Label("name", source.place(position, 1), each.start))
        for each, position in zip(own, positions, strict=True)
    ]


def _is_heading(passage: str, line: int, start: int, end: int) -> bool:
    """Return whether a name is in a heading, where any word may be capitalized.

    Headings are bold words, a few words before a colon, and short lines without a full stop.
    """
    if passage.count("**", line, start) % 2:
        return True
    before, _, rest = passage[line:].partition("\n")[0].partition(":")
    if rest and end <= line + len(before):
        return len(before.split()) <= HEADING_WORDS
    whole = f"{before}{rest}".rstrip(_MARKUP)
    return len(whole.split()) <= HEADING_WORDS and whole[-1:] not in _FULL_STOPS


# ---- spans ---------------------------------------------------------------------------------------


def _within(words: Sequence[LocatedWord], start: int, end: int) -> range:
    """Return the positions of the words that have a character of a part of the text."""
    first = bisect_right(words, start, key=lambda each: each.end)
    return range(first, bisect_left(words, end, key=lambda each: each.start))


def _spans(words: Sequence[LocatedWord], labels: Sequence[_Label | None]) -> Iterator[SourceSpan]:
    end = 0
    for label, group in groupby(zip(words, labels, strict=True), key=lambda each: each[1]):
        own = [word for word, _ in group]
        start = max(end, own[0].start)
        if label is not None and start < own[-1].end:
            end = own[-1].end
            yield SourceSpan(start, end, label.kind, label.place)
