"""A tree of HTML elements as Markdown: headings, paragraphs, lists, tables, quotes and code.

Emphasis and addresses of links are left out, since they are no part of what a text says.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator
from typing import Any

from steep.documents.child import Unreadable
from steep.documents.formats.markdown import fenced, heading, indented, paragraph, table

DEEPEST = 400  # elements within one another; real pages stay below 100
TOO_DEEP = (
    f"its elements are nested more than {DEEPEST} deep; convert it to .md or .txt with another "
    "program"
)
MOST_CELLS = 200_000  # of one table, with spans filled in
LAYOUT_CELL = 1500  # characters; a table with longer cells arranges a page

_SKIPPED = frozenset((
    "script", "style", "noscript", "template", "svg", "head", "title", "button", "select",
    "option", "input", "textarea", "iframe", "object", "audio", "video", "canvas", "img",
    "map",
))  # fmt: skip
_BLOCKS = frozenset((
    "html", "body", "div", "section", "article", "main", "aside", "header", "footer", "nav",
    "p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "menu", "dl", "dt", "dd", "li",
    "table", "thead", "tbody", "tfoot", "tr", "td", "th", "caption", "pre", "blockquote",
    "hr", "figure", "figcaption", "details", "summary", "address", "form", "fieldset",
    "legend", "center",
))  # fmt: skip
_BLANKS = re.compile(r"[ \t\n\r\f\xa0]+")
_AROUND_BREAK = re.compile(r" *\x00 *")
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_LANGUAGE = re.compile(r"(?:language|lang|highlight-source|brush:)[-\s]?([\w+#]+)")


def to_markdown(root: Any) -> str:
    """Return the Markdown of an element of lxml.

    Raises:
        Unreadable: Elements are nested too deeply.
    """
    check_depth(root)
    return "\n\n".join(_blocks(root))


def check_depth(root: Any) -> None:
    """Refuse a tree that no recursive reader could walk.

    Raises:
        Unreadable: Elements are nested more than `DEEPEST` deep.
    """
    level = [root]
    for _ in range(DEEPEST):
        level = [child for element in level for child in element]
        if not level:
            return
    raise Unreadable(TOO_DEEP)


def tag_of(element: Any) -> str:
    """Return the local name in lower case; empty for comments and the like."""
    tag = element.tag
    return tag.rpartition("}")[2].lower() if isinstance(tag, str) else ""


def drop(element: Any) -> None:
    """Remove an element from its tree; the text after it stays."""
    parent = element.getparent()
    if parent is None:
        return
    before = element.getprevious()
    if element.tail and before is not None:
        before.tail = (before.tail or "") + element.tail
    elif element.tail:
        parent.text = (parent.text or "") + element.tail
    parent.remove(element)


def is_hidden(element: Any) -> bool:
    """Return whether a browser does not show the element."""
    if element.get("hidden") is not None or element.get("aria-hidden") == "true":
        return True
    return _HIDDEN.search(element.get("style") or "") is not None


def inline_text(element: Any) -> str:
    """Return the text within an element on one line, but for its line breaks."""
    text = _BLANKS.sub(" ", "".join(_inline(element)))
    return _AROUND_BREAK.sub("\n", text).strip()


def shown_text(element: Any) -> str:
    """Return all texts within an element that a reader sees, in one line."""
    texts: list[str] = [element.text or ""]
    for child in element:
        tag = tag_of(child)
        if tag and tag not in _SKIPPED and not is_hidden(child):
            texts.append(shown_text(child))
        texts.append(child.tail or "")
    return " ".join(texts)


def _inline(element: Any) -> Iterator[str]:
    yield element.text or ""
    for child in element:
        yield from _inline_child(child)
        yield child.tail or ""


def _inline_child(child: Any) -> Iterator[str]:
    tag = tag_of(child)
    if not tag or tag in _SKIPPED or is_hidden(child):
        return
    if tag == "br":
        yield "\x00"
    elif tag in ("code", "kbd", "samp") and (code := "".join(child.itertext()).strip()):
        yield f"`{code}`" if "`" not in code else code
    elif tag in _BLOCKS:
        yield " "
        yield from _inline(child)
        yield " "
    else:
        yield from _inline(child)


def _blocks(element: Any) -> Iterator[str]:
    """Yield the blocks within an element; runs of text and inline elements become paragraphs."""
    run: list[str] = [element.text or ""]
    for child in element:
        tag = tag_of(child)
        if tag in _SKIPPED or (tag and is_hidden(child)):
            pass
        elif tag in _BLOCKS or (tag and _holds_blocks(child)):
            yield from _paragraph(run)
            run = []
            yield from _block(child, tag)
        else:
            run += _inline_child(child)
        run.append(child.tail or "")
    yield from _paragraph(run)


def _holds_blocks(element: Any) -> bool:
    return any(tag_of(each) in _BLOCKS for each in element.iterdescendants())


def _paragraph(run: Iterable[str]) -> Iterator[str]:
    text = _AROUND_BREAK.sub("\n", _BLANKS.sub(" ", "".join(run))).strip()
    if text:
        yield paragraph(text)


def _block(element: Any, tag: str) -> Iterator[str]:
    if re.fullmatch(r"h[1-6]", tag):
        if text := inline_text(element):
            yield heading(int(tag[1]), text)
    elif tag in ("ul", "ol", "menu"):
        if items := "\n".join(_items(element, tag == "ol")):
            yield items
    elif tag == "dl":
        if items := "\n".join(_definitions(element)):
            yield items
    elif tag == "table":
        yield from _table(element)
    elif tag == "pre":
        code = "".join(element.itertext())
        if code.strip():
            yield fenced(code.rstrip(), _language(element))
    elif tag == "blockquote":
        quoted = "\n\n".join(_blocks(element)).split("\n")
        yield from ["\n".join(f"> {line}".rstrip() for line in quoted)] if any(quoted) else []
    elif tag != "hr":
        yield from _blocks(element)


def _language(pre: Any) -> str:
    classes = " ".join(each.get("class") or "" for each in pre.iter() if tag_of(each))
    found = _LANGUAGE.search(classes)
    return found[1] if found else ""


def _items(element: Any, numbered: bool) -> Iterator[str]:
    number = _whole(element.get("start"), 1)
    for child in element:
        tag = tag_of(child)
        if tag in ("ul", "ol", "menu"):  # a list within a list, without an item of its own
            yield indented("\n".join(_items(child, tag == "ol")), "  ", "  ")
        elif tag and tag not in _SKIPPED and not is_hidden(child):
            marker = f"{number}. " if numbered else "- "
            if item := _tight(_blocks(child)):
                yield indented(item, marker, " " * len(marker))
                number += 1


def _tight(blocks: Iterable[str]) -> str:
    """Join blocks of an item; a list follows its text without an empty line."""
    text = ""
    for block in blocks:
        listed = re.match(r"- |\d+\. ", block)
        text += ("\n" if listed else "\n\n") + block if text else block
    return text


def _definitions(element: Any) -> Iterator[str]:
    terms: list[str] = []
    for each in element.iterdescendants():
        if tag_of(each) == "dt":
            terms.append(inline_text(each))
        elif tag_of(each) == "dd":
            meaning = _tight(_blocks(each))
            yield indented(": ".join([*[", ".join(terms)][: len(terms)], meaning]), "- ", "  ")
            terms = []
    yield from (f"- {term}" for term in terms)


def _table(element: Any) -> Iterator[str]:
    rows = _rows(element)
    for caption in element:
        if tag_of(caption) == "caption":
            yield from _paragraph([inline_text(caption)])
    grid = [[inline_text(cell) for cell in row] for row in _grid(rows)]
    if _arranges(element, grid):
        for row in rows:
            for cell in row:
                yield from _blocks(cell) if tag_of(cell) in ("td", "th") else ()
    elif text := table(grid):
        yield text


def fill_spans(root: Any) -> None:
    """Give each table below `root` a cell of its own where another spans rows or columns."""
    for element in root.iter("table"):
        rows = _rows(element)
        if any(cell.get("rowspan") or cell.get("colspan") for row in rows for cell in row):
            for row, line in zip(rows, [*_grid(rows)], strict=True):
                filled = [copy.deepcopy(cell) for cell in line]
                row[:] = filled
                for cell in filled:
                    cell.attrib.pop("rowspan", None)
                    cell.attrib.pop("colspan", None)


def _rows(element: Any) -> list[Any]:
    return [row for row in element.iter() if tag_of(row) == "tr" and _table_of(row) is element]


def _table_of(row: Any) -> Any:
    return next((each for each in row.iterancestors() if tag_of(each) == "table"), None)


def _arranges(element: Any, grid: list[list[str]]) -> bool:
    """Return whether a table arranges a page instead of showing data."""
    if element.get("role") in ("presentation", "none") or max(map(len, grid), default=0) < 2:
        return True
    if any(tag_of(each) in ("table", "h1", "h2", "h3") for each in element.iterdescendants()):
        return True
    return any(len(cell) > LAYOUT_CELL for row in grid for cell in row)


def _grid(rows: Iterable[Any]) -> Iterator[list[Any]]:
    """Yield the cells of each row; one that spans rows or columns stands in each of them."""
    pending: dict[int, tuple[Any, int]] = {}
    cells = 0
    for row in rows:
        line: list[Any] = []
        for cell in [each for each in row if tag_of(each) in ("td", "th")]:
            _fill(line, pending)
            across, down = _whole(cell.get("colspan"), 1), _whole(cell.get("rowspan"), 1)
            for _ in range(across):
                if down > 1:
                    pending[len(line)] = cell, down - 1
                line.append(cell)
        _fill(line, pending)
        cells += len(line)
        if cells > MOST_CELLS:
            raise Unreadable(f"one of its tables has more than {MOST_CELLS:,} cells")
        yield line


def _fill(line: list[Any], pending: dict[int, tuple[Any, int]]) -> None:
    while len(line) in pending:
        cell, left = pending.pop(len(line))
        if left > 1:
            pending[len(line)] = cell, left - 1
        line.append(cell)


def _whole(value: str | None, default: int) -> int:
    digits = (value or "").strip()
    return min(int(digits), 1000) or default if digits.isdecimal() and len(digits) < 6 else default
