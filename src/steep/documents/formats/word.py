"""Word files (DOCX): headings, paragraphs, lists, tables with merged cells, footnotes.

Tracked changes are read as if accepted. Comments, page headers and footers, hidden text and the
table of contents are left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from steep.documents.formats.extracted import Extracted
from steep.documents.formats.markdown import fenced, heading, indented, paragraph, table
from steep.documents.formats.markup import tag_of
from steep.documents.formats.office import attribute, child, chosen, main_part, properties, value
from steep.documents.formats.packages import ZipParts

BODY_LEVEL = 9  # the outline level that Word gives to text
MOST_COLUMNS = 200

_HEADING_NAME = re.compile(r"heading (\d)")
_CODE_NAME = re.compile(r"\bcode\b|preformatted|source code|\bverbatim\b")
_DELETED = frozenset(("del", "movefrom", "instrtext", "deltext", "rpr", "ppr", "pict", "object"))


@dataclass(frozen=True, slots=True)
class _Style:
    name: str = ""
    level: int | None = None
    list_id: str | None = None
    list_level: str | None = None


@dataclass(slots=True)
class _Word:
    """The styles and lists of a file, and what was counted while reading it."""

    styles: dict[str, _Style]
    formats: dict[tuple[str, str], str]
    counters: Counter[tuple[str, int]] = field(default_factory=Counter)
    notes: list[tuple[str, str]] = field(default_factory=list)


def extract(path: str) -> Extracted:
    """Return the text of a Word file.

    Raises:
        Unreadable: It is damaged, encrypted or too large.
    """
    with ZipParts(path, "Word file (.docx)") as parts:
        main = main_part(parts, "Word file (.docx)")
        related = {kind: target for kind, target in parts.relations(main).values()}
        word = _Word(_styles(parts, related.get("styles")), _lists(parts, related.get("numbering")))
        body = child(parts.xml(main), "body")
        blocks = [*_blocks(word, body)] if body is not None else []
        blocks += _footnotes(word, parts, related)
        title, author = properties(parts)
    first = next((each for each in blocks if each.startswith("#")), None)
    title = title or (first.lstrip("# ") if first else None)
    return Extracted("\n\n".join(blocks), title, author)


def _styles(parts: ZipParts, name: str | None) -> dict[str, _Style]:
    """Return the styles by id, each with what it inherits."""
    if name is None or not parts.has(name):
        return {}
    found = {attribute(each, "styleId") or "": each for each in parts.xml(name)}
    styles: dict[str, _Style] = {}
    for style_id, element in found.items():
        chain, seen = [element], {style_id}
        while (base := value(child(chain[-1], "basedon"))) in found and base not in seen:
            seen.add(base)
            chain.append(found[base])
        styles[style_id] = _style(chain)
    return styles


def _style(chain: list[Any]) -> _Style:
    name = (value(child(chain[0], "name")) or "").lower()
    levels = [value(child(each, "ppr", "outlinelvl")) for each in chain]
    names = [value(child(each, "name")) or "" for each in chain]
    lists = [value(child(each, "ppr", "numpr", "numid")) for each in chain]
    depths = [value(child(each, "ppr", "numpr", "ilvl")) for each in chain]
    level = _level(next(filter(None, levels), None))
    if level is None and (named := _HEADING_NAME.match(" ".join(names).lower())):
        level = int(named[1])
    return _Style(name, 1 if name == "title" else level, *map(_first, (lists, depths)))


def _first(values: list[str | None]) -> str | None:
    return next(filter(None, values), None)


def _level(outline: str | None) -> int | None:
    """Return the heading level of an outline level, which starts at 0."""
    known = outline is not None and outline.isdecimal() and int(outline) < BODY_LEVEL
    return int(outline or 0) + 1 if known else None


def _lists(parts: ZipParts, name: str | None) -> dict[tuple[str, str], str]:
    """Return the format of (list, level), e.g. "bullet" or "decimal"."""
    if name is None or not parts.has(name):
        return {}
    root = parts.xml(name)
    abstract = {
        attribute(each, "abstractNumId"): each for each in root if tag_of(each) == "abstractnum"
    }
    formats: dict[tuple[str, str], str] = {}
    for each in root:
        if tag_of(each) == "num":
            for level in abstract.get(value(child(each, "abstractnumid")), ()):
                key = attribute(each, "numId") or "", attribute(level, "ilvl") or "0"
                formats[key] = value(child(level, "numfmt")) or "bullet"
    return formats


def _blocks(word: _Word, parent: Any) -> Iterator[str]:
    """Yield the blocks of a body or cell; list items and lines of code are joined."""
    run: list[str] = []
    kind = ""
    for found, block in _pieces(word, parent):
        if found == "" or found not in (kind, "deeper item"):
            yield from _joined(kind, run)
            run, kind = [], found
        run.append(block)
    yield from _joined(kind, run)


def _joined(kind: str, run: list[str]) -> Iterator[str]:
    text = "\n".join(run)
    if text.strip():
        yield fenced(text) if kind == "code" else text


def _pieces(word: _Word, parent: Any) -> Iterator[tuple[str, str]]:
    """Yield (kind of list, item), ("code", line) and ("", block)."""
    for element in chosen(parent):
        tag = tag_of(element)
        if tag == "p":
            yield from _paragraph(word, element)
        elif tag == "tbl":
            yield from (("", block) for block in _table(word, element))
        elif tag == "sdt":
            if (content := child(element, "sdtcontent")) is not None:
                yield from _pieces(word, content)
        elif tag in ("ins", "moveto", "customxml", "smarttag"):
            yield from _pieces(word, element)


def _paragraph(word: _Word, element: Any) -> Iterator[tuple[str, str]]:
    settings = child(element, "ppr")
    settings = element[0:0] if settings is None else settings
    style = word.styles.get(value(child(settings, "pstyle")) or "", _Style())
    boxes: list[Any] = []
    text = "".join(_text(word, element, boxes))
    outline = _level(value(child(settings, "outlinelvl")))
    own_list = value(child(settings, "numpr", "numid"))
    list_id = own_list if own_list is not None else style.list_id
    if not text.strip() or style.name.startswith("toc "):
        pass
    elif level := outline or style.level:
        yield "", heading(level, text)
    elif list_id and list_id != "0":
        depth = value(child(settings, "numpr", "ilvl")) or style.list_level or "0"
        yield _item(word, list_id, depth, text.strip())
    elif _CODE_NAME.search(style.name):
        yield "code", text
    else:
        yield "", paragraph(re.sub(r"[ \t\xa0]+", " ", text).strip())
    for box in boxes:
        yield from _pieces(word, box)


def _item(word: _Word, list_id: str, level: str, text: str) -> tuple[str, str]:
    depth = min(int(level), 8) if level.isdecimal() else 0
    word.counters[list_id, depth] += 1
    for deeper in range(depth + 1, 9):
        word.counters[list_id, deeper] = 0
    numbered = word.formats.get((list_id, level), "bullet") not in ("bullet", "none")
    marker = f"{word.counters[list_id, depth]}. " if numbered else "- "
    kind = "deeper item" if depth else "number" if numbered else "bullet"
    return kind, indented(text, " " * 2 * depth + marker, " " * (2 * depth + len(marker)))


def _text(word: _Word, element: Any, boxes: list[Any]) -> Iterator[str]:
    """Yield the texts of a paragraph; text boxes in it are appended to `boxes`."""
    for each in chosen(element):
        tag = tag_of(each)
        if tag == "t":
            yield each.text or ""
        elif tag == "txbxcontent":
            boxes.append(each)
        elif tag in ("tab", "ptab"):
            yield "\t"
        elif tag in ("br", "cr"):
            yield "" if attribute(each, "type") in ("page", "column") else "\n"
        elif tag == "nobreakhyphen":
            yield "-"
        elif tag in ("footnotereference", "endnotereference"):
            word.notes.append((tag.removesuffix("reference"), attribute(each, "id") or ""))
            yield f"[^{len(word.notes)}]"
        elif tag == "r" and _is_hidden(each):
            continue
        elif tag not in _DELETED:
            yield from _text(word, each, boxes)


def _is_hidden(run: Any) -> bool:
    vanish = child(run, "rpr", "vanish")
    return vanish is not None and value(vanish) not in ("0", "false", "off")


def _footnotes(word: _Word, parts: ZipParts, related: dict[str, str]) -> Iterator[str]:
    """Yield the footnotes and endnotes in the order of their marks, as Markdown has them."""
    texts: dict[tuple[str, str], Any] = {}
    for kind in ("footnote", "endnote"):
        name = related.get(f"{kind}s")
        if name and parts.has(name):
            texts |= {(kind, attribute(each, "id") or ""): each for each in parts.xml(name)}
    for number, key in enumerate(list(word.notes), start=1):
        if key in texts:
            yield f"[^{number}]: {' '.join(' '.join(_blocks(word, texts[key])).split())}"


def _table(word: _Word, element: Any) -> Iterator[str]:
    """Yield a table; one of a single column only arranges the page, and gives its blocks."""
    grid: list[list[str]] = []
    blocks: list[str] = []
    for row in _rows(element):
        line: list[str] = []
        for cell in _cells(row):
            span = value(child(cell, "tcpr", "gridspan")) or "1"
            merged = child(cell, "tcpr", "vmerge")
            continues = merged is not None and value(merged) != "restart"
            inside = [*_blocks(word, cell)]
            blocks += inside
            text = " ".join(" ".join(inside).split())
            above = grid[-1][len(line)] if grid and len(line) < len(grid[-1]) else ""
            columns = min(int(span), MOST_COLUMNS) if span.isdecimal() else 1
            line += [above if continues else text] * columns
        grid.append(line)
    if max(map(len, grid), default=0) < 2:
        yield from blocks
    elif text := table(grid):
        yield text


def _rows(element: Any) -> Iterator[Any]:
    for each in chosen(element):
        if tag_of(each) == "tr" and child(each, "trpr", "del") is None:
            yield each
        elif tag_of(each) in ("sdt", "sdtcontent", "ins"):
            yield from _rows(each)


def _cells(row: Any) -> Iterator[Any]:
    for each in chosen(row):
        if tag_of(each) == "tc":
            yield each
        elif tag_of(each) in ("sdt", "sdtcontent"):
            yield from _cells(each)
