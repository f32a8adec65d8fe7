"""The built-in readers: the text of one file becomes documents. Pure; the disk is in `reading.py`.

A new format is one function and one line in `READERS`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import yaml

from steep.documents.blocks import markdown_blocks
from steep.documents.clean import clean_text, one_line
from steep.documents.document import Document, Reading, Skipped
from steep.documents.headings import could_be_title
from steep.documents.quality import first_record, is_quality, parse_quality
from steep.documents.records import (
    BadRecord,
    json_records,
    optional_text,
    optional_year,
    required_text,
    whole_number,
)

_FRONT_MATTER = re.compile(
    r"---\n((?:[\w-]+:.*\n|[ \t]+\S.*\n|- .*\n|#.*\n|\n)*?)---[ \t]*(?:\n|$)"
)
_FRONT_TITLE = re.compile(r"^title:[ \t]*(.+)$", re.MULTILINE)
_FENCED_FRONT = re.compile(
    r"(?:---[ \t]*\n(?P<yaml>.*?)^(?:---|\.\.\.)|\+\+\+[ \t]*\n(?P<toml>.*?)^\+\+\+)"
    r"[ \t]*(?:\n|\Z)",
    re.DOTALL | re.MULTILINE,
)
_STARTS_WITH_CODE = re.compile(r"\ufeff?(?:[ \t]*\r?\n)*(?: {4}|\t)")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A decoded file: its name (relative, for messages), the id it would give, its text."""

    name: str
    id: str
    text: str


Reader = Callable[[SourceFile], Reading]
_Field = TypeVar("_Field")


def read_plain_text(file: SourceFile) -> Reading:
    """Read one document; its title is the first line if that stands alone, else the file's name."""
    text = clean_text(file.text)
    return _one_document(file, _first_line_title(text), text)


def read_markdown(file: SourceFile) -> Reading:
    """Read one document; its title is in the front matter, the first heading, or as in plain text.

    Front matter in YAML or TOML is no part of the text; its author and date are taken.
    """
    fields, text = _front_matter(clean_text(file.text))
    code = "    " if not fields and _STARTS_WITH_CODE.match(file.text) else ""
    headings = (block.title for block in markdown_blocks(code + text) if block.kind == "heading")
    title = _plain(fields.get("title")) or next(headings, None) or _first_line_title(text)
    skipped: list[Skipped] = []
    year = _kept_without("year", optional_year, {"year": _date(fields)}, file.name, skipped)
    author = _author(fields.get("author", fields.get("authors")))
    return _one_document(file, title, text, author, year, skipped)


def read_jsonl(file: SourceFile) -> Reading:
    """Read one document per line (`id, title, text, author, year`), or the format of QuALITY."""
    if is_quality(first_record(file.text)):
        return read_quality_stories(file)
    documents: list[Document] = []
    skipped: list[Skipped] = []
    for source, record in json_records(file.text, file.name, skipped):
        try:
            documents.append(_document(record, source, skipped))
        except BadRecord as error:
            skipped.append(Skipped(source, str(error)))
    if len(skipped) > 1 and not documents:  # a file of another kind: one reason, not one per line
        reason = f"none of its {len(skipped)} lines is a document; the first: {skipped[0].reason}"
        skipped = [Skipped(file.name, reason)]
    return Reading(tuple(documents), tuple(skipped), 1)


def read_quality_stories(file: SourceFile) -> Reading:
    """Return the articles of a QuALITY file, without their questions."""
    articles, skipped = parse_quality(file.text, file.name)
    documents = [
        Document(row.article_id, row.title, row.text, row.author, row.year, file.name)
        for row in articles
    ]
    return Reading(tuple(documents), tuple(skipped), 1)


LINE_READERS: tuple[Reader, ...] = (read_jsonl, read_quality_stories)  # a bad line is skipped alone
READERS: dict[str, Reader] = {
    ".txt": read_plain_text,
    ".md": read_markdown,
    ".jsonl": read_jsonl,
}


def _document(record: Mapping[str, Any], source: str, skipped: list[Skipped]) -> Document:
    text = clean_text(required_text(record, "text"))
    if not text:
        raise BadRecord("the text is empty")
    if "id" not in record:
        found = ", ".join(map(str, record))
        raise BadRecord(f"expected the key 'id', found {found:.120}; give each line its own id")
    document_id = one_line(required_text(record, "id"))
    title = _kept_without("title", _title_field, record, source, skipped)
    return Document(
        id=document_id,
        title=one_line(title or _first_line_title(text) or document_id),
        text=text,
        author=_kept_without("author", _author_field, record, source, skipped),
        year=_kept_without("year", optional_year, record, source, skipped),
        source=source,
    )


def _title_field(record: Mapping[str, Any]) -> str | None:
    value = whole_number(record.get("title"))
    missing = value is None or (isinstance(value, str) and not value.strip())
    return None if missing else required_text(record, "title")


def _author_field(record: Mapping[str, Any]) -> str | None:
    value = record.get("author")
    return _author(value) if isinstance(value, (list, dict)) else optional_text(record, "author")


def _kept_without(
    key: str,
    read: Callable[[Mapping[str, Any]], _Field],
    record: Mapping[str, Any],
    source: str,
    skipped: list[Skipped],
) -> _Field | None:
    """Return a field that is not worth a document: one that does not fit is left out, and named."""
    try:
        return read(record)
    except BadRecord as error:
        skipped.append(Skipped(source, f"the document is kept without its {key}: {error}"))
        return None


def _front_matter(text: str) -> tuple[Mapping[str, Any], str]:
    """Return the fields before a text, by their names in lower case, and the text without them."""
    if match := _FENCED_FRONT.match(text):
        try:
            if match["toml"] is None:
                # All values as text: a title may be 1.10, and a date any text.
                fields = yaml.load(match["yaml"], Loader=yaml.BaseLoader)
            else:
                fields = tomllib.loads(match["toml"])
        except (yaml.YAMLError, ValueError, RecursionError):
            fields = None
        if isinstance(fields, dict):
            named = {str(key).strip().lower(): value for key, value in fields.items()}
            return named, text[match.end() :].strip()
    if match := _FRONT_MATTER.match(text):  # YAML with a mistake, e.g. a colon in a title
        found = _FRONT_TITLE.search(match[1])
        title = found[1].strip().strip("\"'") if found else None
        return {"title": title}, text[match.end() :].strip()
    return {}, text


def _plain(value: Any) -> str | None:
    return None if value is None or isinstance(value, (dict, list)) else one_line(str(value))


def _date(fields: Mapping[str, Any]) -> str | None:
    return _plain(fields.get("year")) or _plain(fields.get("date"))


def _author(value: Any) -> str | None:
    """Return one author, or several joined; each a name or an object with one."""
    each = value if isinstance(value, list) else [value]
    names = [_plain(one.get("name") if isinstance(one, dict) else one) for one in each]
    return " and ".join(filter(None, names)) or None


def _one_document(
    file: SourceFile,
    title: str | None,
    text: str,
    author: str | None = None,
    year: int | None = None,
    skipped: Sequence[Skipped] = (),
) -> Reading:
    if not text:
        return Reading((), (Skipped(file.name, "the file is empty"),), 1)
    named = one_line(title or "") or re.sub(r"[-_\s]+", " ", file.id.rpartition("/")[2]).strip()
    document = Document(file.id, named or file.id, text, author, year, source=file.name)
    return Reading((document,), tuple(skipped), 1)


def _first_line_title(text: str) -> str | None:
    first, _, rest = text.partition("\n")
    stands_alone = not rest or rest.startswith("\n")
    return first if stands_alone and could_be_title(first) else None
