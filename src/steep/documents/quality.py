"""The JSONL format of QuALITY: long stories with four-choice questions, one set per line.

The stories are documents, and the questions an evaluation. A file has any suffix (`.dev`, `.train`,
`.htmlstripped.dev`), so it is recognized by its keys. Two question sets of one article (same title
and author) are merged. The texts are hard-wrapped and oddly spaced: emphasis is a word between four
blanks, a lost line end is six or more; both are corrected.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from steep.documents.clean import clean_text, one_line
from steep.documents.document import Skipped
from steep.documents.records import (
    BadRecord,
    json_records,
    optional_year,
    required_text,
    whole_number,
)

# A text of which over a tenth of the lines is longer than this was not wrapped: a line is then a
# paragraph. (In a wrapped one, padded emphasis makes some 2% of the lines as long.)
LONGEST_WRAPPED_LINE = 100

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_BLOCK_TAG = re.compile(r"</?(?:p|div|br|hr|h\d|li|ul|ol|table|tr|blockquote)\b[^<>]*>", re.I)
_TAG = re.compile(r"</?[a-z][a-z0-9]*(?:\s[^<>]*)?/?>", re.I)
# A blank line, an indented line (three blanks; wrapped lines have one), or six blanks in a line.
_PARAGRAPH_END = re.compile(r"\n[ \t]*\n|\n {3,}|(?<=\S) {6,}(?=\S)")
_BLANKS_BEFORE_STOP = re.compile(r" {2,}(?=[,.;:!?)\]\N{RIGHT DOUBLE QUOTATION MARK}])")
_BLANKS_IN_QUOTES = re.compile(r'(?:(?<=^")|(?<=\s")) {2,}|(?<=\S) {2,}(?="(?:\s|$))', re.M)


@dataclass(frozen=True, slots=True)
class QualityQuestion:
    """A four-choice question; `gold` counts from 0, and is None if the answer is withheld."""

    id: str
    question: str
    options: tuple[str, ...]
    gold: int | None
    difficult: bool


@dataclass(frozen=True, slots=True)
class QualityArticle:
    """An article with the questions of all its sets."""

    article_id: str
    title: str
    author: str | None
    year: int | None
    text: str
    questions: tuple[QualityQuestion, ...]


class QualityFile(NamedTuple):
    """The articles of a file, and the lines and questions that were skipped."""

    articles: list[QualityArticle]
    skipped: list[Skipped]


def is_quality(record: object) -> bool:
    """Return True if a JSON value is a line of QuALITY."""
    return isinstance(record, Mapping) and {"article", "questions"} <= record.keys()


def parse_quality(text: str, name: str) -> QualityFile:
    """Read QuALITY's JSONL from a string; `name` is the file's, for messages."""
    articles: dict[tuple[str, str | None], QualityArticle] = {}
    by_id: dict[str, str] = {}
    skipped: list[Skipped] = []
    for source, record in json_records(text, name, skipped):
        try:
            article = _article(record)
            title = by_id.setdefault(article.article_id, article.title)
            if title != article.title:
                raise BadRecord(f"article_id '{article.article_id}' is already that of '{title}'")
        except BadRecord as error:
            skipped.append(Skipped(source, str(error)))
            continue
        key = (article.title, article.author)
        known = articles.setdefault(key, article)
        questions = _questions(record, known, source, skipped)
        articles[key] = replace(known, questions=known.questions + tuple(questions))
    return QualityFile(list(articles.values()), skipped)


def _article(record: Mapping[str, Any]) -> QualityArticle:
    if not is_quality(record) or not isinstance(record["questions"], list):
        raise BadRecord(f"expected 'article' and a list of 'questions', found keys {list(record)}")
    text = clean_article(required_text(record, "article"))
    if not text:
        raise BadRecord("the article has no text")
    author = record.get("author")
    try:
        year = optional_year(record)
    except BadRecord:
        year = None
    return QualityArticle(
        article_id=one_line(required_text(record, "article_id")),
        title=one_line(required_text(record, "title")),
        author=one_line(author) if isinstance(author, str) and author.strip() else None,
        year=year,
        text=text,
        questions=(),
    )


def _questions(
    record: Mapping[str, Any], known: QualityArticle, source: str, skipped: list[Skipped]
) -> Iterable[QualityQuestion]:
    for number, row in enumerate(record["questions"]):
        default_id = f"{known.article_id}-{len(known.questions) + number}"
        try:
            yield _question(row, default_id)
        except BadRecord as error:
            skipped.append(Skipped(source, f"question {number + 1} of '{known.title}': {error}"))


def _question(row: object, default_id: str) -> QualityQuestion:
    if not isinstance(row, Mapping):
        raise BadRecord(f"expected an object, found {row!r:.60}")
    options = row.get("options")
    if not isinstance(options, list) or len(options) < 2:
        raise BadRecord(f"expected a list of 'options', found {options!r:.60}")
    gold = whole_number(row.get("gold_label"))
    if gold is not None and gold not in range(1, len(options) + 1):
        raise BadRecord(f"expected 'gold_label' from 1 to {len(options)}, found {gold!r:.60}")
    return QualityQuestion(
        id=str(row.get("question_unique_id") or default_id),
        question=one_line(required_text(row, "question")),
        options=tuple(one_line(str(option)) for option in options),
        gold=None if gold is None else int(gold) - 1,
        difficult=bool(row.get("difficult")),
    )


def clean_article(text: str) -> str:
    """Turn hard-wrapped, oddly spaced or HTML text into paragraphs with a blank line between."""
    bare = _TAG.sub("", _BLOCK_TAG.sub("\n\n", _COMMENT.sub("", clean_text(text))))
    plain = html.unescape(bare)
    paragraphs = _PARAGRAPH_END.split(plain if _is_wrapped(plain) else plain.replace("\n", "\n\n"))
    return "\n\n".join(filter(None, (_paragraph(paragraph) for paragraph in paragraphs)))


def _is_wrapped(text: str) -> bool:
    lines = [line for line in re.split(r"\n| {6,}", text) if line.strip()]
    long = sum(len(line.strip()) > LONGEST_WRAPPED_LINE for line in lines)
    return long * 10 <= len(lines)


def _paragraph(lines: str) -> str:
    """Join the lines of a paragraph and normalize its blanks."""
    # A dash or hyphen at a line's end joins two words that had no blank between them.
    joined = re.sub(r"(?<=[\w\u2014-][\u2014-])[ \t]*\n[ \t]*", "", lines).replace("\n", " ")
    tight = _BLANKS_IN_QUOTES.sub("", _BLANKS_BEFORE_STOP.sub("", joined))
    return re.sub(r" {2,}|\t+", " ", tight).strip()


def first_record(text: str) -> object:
    """Return the JSON value on the first line that is not blank, or None if it is no JSON."""
    first = text.lstrip("\ufeff \t\r\n").partition("\n")[0]
    try:
        return json.loads(first) if first.startswith("{") else None
    except (ValueError, RecursionError):
        return None
