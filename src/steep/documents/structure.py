"""The sections of a text, each with the titles of the headings above it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from steep.documents.blocks import TextBlock, blocks_of


@dataclass(frozen=True, slots=True)
class TextSection:
    """A heading with what follows it, up to the next heading of any level.

    Attributes:
        path: The titles of the headings above it and its own, the highest first; empty for the
            text before the first heading.
        level: Of its heading, from 1 for the highest; 0 without one.
        start: Where it begins in the text, with its heading.
        body: Where its text begins, after the heading.
        end: Where the next section begins.
    """

    path: tuple[str, ...]
    level: int
    start: int
    body: int
    end: int


def sections_of(text: str, title: str = "") -> list[TextSection]:
    """Return the sections of a text in order; they cover it exactly.

    Args:
        text: Of a document.
        title: Of the document; a first heading with the same words adds nothing to a path.
    """
    return sections_in(blocks_of(text), title)


def sections_in(blocks: Iterable[TextBlock], title: str = "") -> list[TextSection]:
    """Return the sections of blocks that follow one another, as `sections_of` their text."""
    sections: list[TextSection] = []
    above: list[tuple[int, str]] = []
    start = level = body = end = 0
    for block in blocks:
        if block.kind == "heading":
            if block.start > start or level:
                sections.append(TextSection(_path(above, title), level, start, body, block.start))
            above = [each for each in above if each[0] < block.level]
            above.append((block.level, block.title))
            start, level, body = block.start, block.level, block.end
        end = block.end
    return [*sections, TextSection(_path(above, title), level, start, body, end)] if end else []


def path_of(sections: Sequence[TextSection], start: int, end: int) -> tuple[str, ...]:
    """Return the titles that stand above all of `text[start:end]`, the highest first.

    A heading counts with the text below it; headings without text count where there is no other.
    """
    first = max(0, bisect_right(sections, start, key=lambda section: section.start) - 1)
    last = bisect_right(sections, max(start, end - 1), key=lambda section: section.start)
    touched = sections[first:last]
    with_text = [each for each in touched if max(each.body, start) < min(each.end, end)]
    paths = [each.path for each in with_text or touched]
    alike = takewhile(lambda titles: len(set(titles)) == 1, zip(*paths, strict=False))
    return tuple(titles[0] for titles in alike)


def _path(above: Sequence[tuple[int, str]], title: str) -> tuple[str, ...]:
    titles = tuple(name for _, name in above)
    return titles[1:] if titles and _key(titles[0]) == _key(title) else titles


def _key(title: str) -> str:
    return " ".join(title.casefold().split())
