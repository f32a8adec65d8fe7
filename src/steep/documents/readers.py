"""Readers of text: a decoded file becomes documents. Pure; the disk is in `reading.py`.

A new format is one function and one line in `TEXT_READERS`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from steep.documents.blocks import markdown_blocks
from steep.documents.clean import clean_text, one_line
from steep.documents.document import EMPTY, Document, Reading, Skipped
from steep.documents.headings import could_be_title
from steep.documents.quality import parse_quality
from steep.documents.records import BadRecord, optional_year

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


def read_plain_text(file: SourceFile) -> Reading:
    """Read one document; its title is the first line if that stands alone, else the file's name."""
    text = clean_text(file.text)
    return _one_document(file, first_line_title(text), text)


def read_markdown(file: SourceFile) -> Reading:
    """Read one document; its title is in the front matter, the first heading, or as in plain text.

    Front matter in YAML or TOML is no part of the text; its author and date are taken.
    """
    fields, text = _front_matter(clean_text(file.text))
    code = "    " if not fields and _STARTS_WITH_CODE.match(file.text) else ""
    headings = (block.title for block in markdown_blocks(code + text) if block.kind == "heading")
    title = _plain(fields.get("title")) or next(headings, None) or first_line_title(text)
    skipped: list[Skipped] = []
    year = None
    try:
        year = optional_year({"year": _date(fields)})
    except BadRecord as error:
        reason = f"the document is kept without its year: {error}"
        skipped.append(Skipped(file.name, reason, kept=True))
    author = author_names(fields.get("author", fields.get("authors")))
    return _one_document(file, title, text, author, year, skipped)


def read_quality_stories(file: SourceFile) -> Reading:
    """Return the articles of a QuALITY file, without their questions."""
    articles, skipped = parse_quality(file.text, file.name)
    documents = [
        Document(row.article_id, row.title, row.text, row.author, row.year, file.name)
        for row in articles
    ]
    return Reading(tuple(documents), tuple(skipped), 1)


TEXT_READERS: dict[str, Reader] = {
    ".txt": read_plain_text,
    ".text": read_plain_text,
    ".md": read_markdown,
    ".markdown": read_markdown,
}


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


def author_names(value: Any) -> str | None:
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
        return Reading((), (Skipped(file.name, EMPTY),), 1)
    named = one_line(title or "") or re.sub(r"[-_\s]+", " ", file.id.rpartition("/")[2]).strip()
    document = Document(file.id, named or file.id, text, author, year, source=file.name)
    return Reading((document,), tuple(skipped), 1)


def first_line_title(text: str) -> str | None:
    """Return the first line of a text if it stands alone and is no sentence."""
    first, _, rest = text.partition("\n")
    stands_alone = not rest or rest.startswith("\n")
    return first if stands_alone and could_be_title(first) else None
