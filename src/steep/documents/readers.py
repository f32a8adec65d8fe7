"""The built-in readers: the text of one file becomes documents. Pure; the disk is in `reading.py`.

A new format is one function and one line in `READERS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from steep.documents.clean import clean_text, one_line
from steep.documents.document import Document, Reading, Skipped
from steep.documents.quality import first_record, is_quality, parse_quality
from steep.documents.records import BadRecord, json_records, optional_year, required_text

LONGEST_TITLE = 100  # characters; a longer first line is a paragraph, not a title

_FRONT_MATTER = re.compile(
    r"---\n((?:[\w-]+:.*\n|[ \t]+\S.*\n|- .*\n|#.*\n|\n)*?)---[ \t]*(?:\n|$)"
)
_FRONT_TITLE = re.compile(r"^title:[ \t]*(.+)$", re.MULTILINE)
_HEADING = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t#]*$")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A decoded file: its name (relative, for messages), the id it would give, its text."""

    name: str
    id: str
    text: str


Reader = Callable[[SourceFile], Reading]


def read_plain_text(file: SourceFile) -> Reading:
    """One document; its title is the first line if that stands alone, else the file's name."""
    text = clean_text(file.text)
    return _one_document(file, _first_line_title(text), text)


def read_markdown(file: SourceFile) -> Reading:
    """One document; its title is the front matter's, or the first heading, or as in plain text."""
    text = clean_text(file.text)
    title = None
    if match := _FRONT_MATTER.match(text):
        text = text[match.end() :].strip()
        if found := _FRONT_TITLE.search(match[1]):
            title = found[1].strip().strip("\"'")
    title = title or next(_headings(text), None) or _first_line_title(text)
    return _one_document(file, title, text)


def read_jsonl(file: SourceFile) -> Reading:
    """One document a line (`id, title, text`, perhaps `author, year`), or QuALITY's own format."""
    if is_quality(first_record(file.text)):
        return read_quality_stories(file)
    documents: list[Document] = []
    skipped: list[Skipped] = []
    for source, record in json_records(file.text, file.name, skipped):
        try:
            documents.append(_document(record, source))
        except BadRecord as error:
            skipped.append(Skipped(source, str(error)))
    if len(skipped) > 1 and not documents:  # a file of another kind: say it once, not a line each
        reason = f"none of its {len(skipped)} lines is a document; the first: {skipped[0].reason}"
        skipped = [Skipped(file.name, reason)]
    return Reading(tuple(documents), tuple(skipped), 1)


def read_quality_stories(file: SourceFile) -> Reading:
    """The articles of a QuALITY file, without their questions."""
    articles, skipped = parse_quality(file.text, file.name)
    documents = [
        Document(row.article_id, row.title, row.text, row.author, row.year, file.name)
        for row in articles
    ]
    return Reading(tuple(documents), tuple(skipped), 1)


READERS: dict[str, Reader] = {
    ".txt": read_plain_text,
    ".md": read_markdown,
    ".jsonl": read_jsonl,
}


def _document(record: Mapping[str, Any], source: str) -> Document:
    text = clean_text(required_text(record, "text"))
    if not text:
        raise BadRecord("the text is empty")
    author = record.get("author")
    if author is not None and not isinstance(author, str):
        raise BadRecord(f"expected a text as 'author', found {author!r:.60}")
    return Document(
        id=one_line(required_text(record, "id")),
        title=one_line(required_text(record, "title")),
        text=text,
        author=one_line(author or "") or None,
        year=optional_year(record),
        source=source,
    )


def _one_document(file: SourceFile, title: str | None, text: str) -> Reading:
    if not text:
        return Reading((), (Skipped(file.name, "the file is empty"),), 1)
    named = one_line(title or "") or re.sub(r"[-_\s]+", " ", file.id.rpartition("/")[2]).strip()
    return Reading((Document(file.id, named or file.id, text, source=file.name),), (), 1)


def _first_line_title(text: str) -> str | None:
    first, _, rest = text.partition("\n")
    stands_alone = not rest or rest.startswith("\n")
    prose = len(first) > LONGEST_TITLE or first.endswith((".", ",", ";", ":"))
    named = any(character.isalnum() for character in first)
    return first if stands_alone and named and not prose else None


def _headings(text: str) -> Iterator[str]:
    """Headings of a Markdown text, without those in fenced code (where # starts a comment)."""
    fenced = False
    for line in text.split("\n"):
        fenced ^= line.lstrip().startswith(("```", "~~~"))
        if not fenced and (match := _HEADING.match(line)):
            yield re.sub(r"[*`]|\[([^\]]*)\]\([^)]*\)", r"\1", match[1])
