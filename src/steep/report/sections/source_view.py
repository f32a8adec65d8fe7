"""A passage beside the parts of its document with which it shares words, names and numbers."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from steep.core.formatting import count, percent, plural, reasons, shorten
from steep.core.words import word_spans
from steep.corpus.source_spans import (
    RUN_WORDS,
    Place,
    SourceComparison,
    SourceSpan,
    SourceText,
    compare,
)
from steep.report.html import Html, el, join

SHOWN_WORDS = 160  # longer passages are folded after this many
WHOLE_WORDS = 250  # of the longest document that is shown whole
CONTEXT_WORDS = 12  # around a place in the document
MOST_WORDS = 600  # of all excerpts of a document
BEGINNING_WORDS = 60  # of a document that shares nothing
NEW_CHARACTERS = 40  # of a name or number that the document does not have
MOST_NEW = 30
_BLANK_LINES = re.compile(r"\n\s*\n\s*\n\s*")
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
CLASSES = {
    "run": "run",
    "name": "known",
    "number": "known",
    "new name": "new",
    "new number": "new",
}


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a document, in characters, that belongs to the same spans of a passage."""

    start: int
    end: int
    spans: tuple[int, ...]


def source_view(number: int, text: str, source: SourceText, title: str) -> Html:
    """Return a passage beside excerpts of its document, with the shares of what it has in common.

    Args:
        number: Of the passage in the page, for the ids of the places in the document.
        text: The passage.
        source: Its document.
        title: Of the document.
    """
    found = compare(text, source)
    shown = excerpts(source, [each.place for each in found.spans if each.place])
    parts = [segments(each, found.spans) for each in shown]
    marked = [segment for part in parts for segment in part if segment.spans]
    places: dict[int, list[int]] = {}
    for place, segment in enumerate(marked):
        for span in segment.spans:
            places.setdefault(span, []).append(place)
    passage = _Passage(number, text, found.spans, places)
    names = {segment.start: f"s{number}-{place}" for place, segment in enumerate(marked)}
    document = el(
        "div",
        *(_excerpt(source, part, names) for part in parts),
        class_="source",
        tabindex=0,
        role="region",
        aria_label=f"Document of sample {number + 1}: {title}",
    )
    hidden = sum(each.place is not None for each in found.spans) - len(places)
    return join(
        [
            el(
                "div",
                el("div", el("p", "Passage", class_="column"), passage.markup()),
                el("div", el("p", f"Document: {title}", class_="column"), document),
                class_="compare",
            ),
            _shares(found),
            _new(text, found.spans),
            el("p", _extent(source, shown, hidden), class_="note"),
        ]
    )


def excerpts(source: SourceText, places: Sequence[Place]) -> list[Place]:
    """Return the parts of a document to show, in characters: around places, the longest first."""
    words = source.words
    if len(words) <= WHOLE_WORDS:
        return [(0, len(source.text))]
    starts, ends = [each.start for each in words], [each.end for each in words]
    shown: set[int] = set()
    for start, end in sorted(places, key=lambda place: place[0] - place[1]):
        first, last = bisect_right(ends, start), bisect_left(starts, end)
        window = range(max(0, first - CONTEXT_WORDS), min(len(words), last + CONTEXT_WORDS))
        both = shown.union(window[: MOST_WORDS // 2])
        shown = both if len(both) <= MOST_WORDS else shown
    order = sorted(shown or range(BEGINNING_WORDS))
    breaks = [one for one, other in pairwise(order) if other - one > CONTEXT_WORDS]
    firsts = [order[0], *(order[bisect_right(order, each)] for each in breaks)]
    return [
        _excerpt_of(source, first, last)
        for first, last in zip(firsts, [*breaks, order[-1]], strict=True)
    ]


def _excerpt_of(source: SourceText, first: int, last: int) -> Place:
    """Return the place of some words, with the punctuation after them."""
    words, text = source.words, source.text
    end = words[last + 1].start if last + 1 < len(words) else len(text)
    start = words[first].start if first else 0
    return start, words[last].end + len(text[words[last].end : end].split("\n")[0].rstrip())


def segments(excerpt: Place, spans: Sequence[SourceSpan]) -> list[Segment]:
    """Cut an excerpt where places of spans begin and end."""
    start, end = excerpt
    inside = [
        (number, each.place)
        for number, each in enumerate(spans)
        if each.place and start <= each.place[0] and each.place[1] <= end
    ]
    cuts = sorted({start, end, *(cut for _, place in inside for cut in place)})
    return [
        Segment(one, other, tuple(n for n, place in inside if place[0] <= one < place[1]))
        for one, other in pairwise(cuts)
    ]


def _excerpt(source: SourceText, part: Sequence[Segment], names: dict[int, str]) -> Html:
    text = source.text
    before = f"{ELLIPSIS} " if text[: part[0].start].strip() else ""
    after = f" {ELLIPSIS}" if text[part[-1].end :].strip() else ""
    inner = [
        el("mark", text[each.start : each.end], id=names[each.start], class_="place")
        if each.spans
        else _BLANK_LINES.sub("\n\n", text[each.start : each.end])
        for each in part
    ]
    return el("p", before, *inner, after, class_="excerpt", dir="auto")


# ---- texts ---------------------------------------------------------------------------------------


def plain_text(*children: Html | str) -> Html:
    """Return a text in the type of texts."""
    return el("div", *children, class_="text", dir="auto")


def folded_text(text: str) -> Html:
    """Return a text as it stands; the rest of a long one is folded."""
    return folded(text, lambda start, end: [text[start:end]])


def folded(text: str, pieces: Callable[[int, int], Iterable[Html | str]]) -> Html:
    """Return a text of which a function returns any part; the rest of a long one is folded."""
    first, last = len(text) - len(text.lstrip()), len(text.rstrip())
    words = word_spans(text)
    if len(words) <= SHOWN_WORDS * 1.2:
        return plain_text(*pieces(first, last))
    cut, rest = words[SHOWN_WORDS - 1][1], words[SHOWN_WORDS][0]
    inner = plain_text(f"{ELLIPSIS} ", *pieces(rest, last))
    more = el("details", el("summary", "Show the rest"), inner)
    return join([plain_text(*pieces(first, cut), f" {ELLIPSIS}"), more])


@dataclass(frozen=True, slots=True)
class _Passage:
    number: int
    text: str
    spans: Sequence[SourceSpan]
    places: dict[int, list[int]]  # the numbers of the segments of a span

    def markup(self) -> Html:
        """Return the text with its spans; the rest of a long one is folded."""
        return folded(self.text, self._pieces)

    def _pieces(self, start: int, end: int) -> Iterator[Html | str]:
        at = start
        for number, span in enumerate(self.spans):
            first, last = max(span.start, start), min(span.end, end)
            if first < last:
                yield self.text[at:first]
                yield self._mark(number, self.text[first:last])
                at = last
        yield self.text[at:end]

    def _mark(self, number: int, text: str) -> Html:
        class_ = CLASSES[self.spans[number].kind]
        if found := self.places.get(number):
            listed = " ".join(map(str, found))
            link = f"#s{self.number}-{found[0]}"
            return el("a", text, href=link, class_=class_, data_places=listed)
        return el("mark", text, class_=class_)


# ---- sentences -----------------------------------------------------------------------------------


def _shares(found: SourceComparison) -> Html:
    share = percent(found.run_words / found.words if found.words else None, 0)
    unit = "words" if found.run_length == RUN_WORDS else "characters"
    counted = (
        f"; {each} of {plural(of, noun)}"
        for each, of, noun in (
            (found.source_numbers, found.numbers, "number"),
            (found.source_names, found.names, "name"),
        )
        if of
    )
    text = f" {share} of the {unit}, in runs of {found.run_length} or more{''.join(counted)}."
    return el("p", el("strong", "In the document:"), text, class_="shares")


def _new(text: str, spans: Sequence[SourceSpan]) -> Html | None:
    new = Counter(
        shorten(" ".join(text[each.start : each.end].split()), NEW_CHARACTERS)
        for each in spans
        if CLASSES[each.kind] == "new"
    )
    if not new:
        return None
    more = f", and {count(len(new) - MOST_NEW)} more" if len(new) > MOST_NEW else ""
    listed = reasons(dict(new.most_common(MOST_NEW)))
    return el("p", el("strong", "Not in the document: "), listed, more, ".", class_="shares")


def _extent(source: SourceText, shown: Sequence[Place], hidden: int) -> str:
    if shown == [(0, len(source.text))]:
        return "The whole document is shown."
    words = sum(
        bisect_left(source.words, end, key=lambda each: each.start)
        - bisect_left(source.words, start, key=lambda each: each.start)
        for start, end in shown
    )
    text = f"Excerpts of the document: {count(words)} of {plural(len(source.words), 'word')}."
    return f"{text} {plural(hidden, 'place is', 'places are')} outside of them." if hidden else text
