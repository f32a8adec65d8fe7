"""PowerPoint files (PPTX): a heading per slide, its texts and tables, and the speaker's notes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from steep.core.formatting import plural
from steep.documents.formats.extracted import Extracted
from steep.documents.formats.markdown import heading, paragraph, table
from steep.documents.formats.markup import tag_of
from steep.documents.formats.office import attribute, child, chosen, main_part, properties
from steep.documents.formats.packages import ZipParts

_TITLES = ("title", "ctrTitle")
_REPEATED = ("dt", "ftr", "hdr", "sldNum", "sldImg")  # date, footer, header, number


def extract(path: str) -> Extracted:
    """Return the text of all slides that are shown.

    Raises:
        Unreadable: It is damaged, encrypted or too large.
    """
    with ZipParts(path, "PowerPoint file (.pptx)") as parts:
        main = main_part(parts, "PowerPoint file (.pptx)")
        related = parts.relations(main)
        order = child(parts.xml(main), "sldidlst")
        ids = [attribute_of_relation(each) for each in order] if order is not None else []
        names = [related[each][1] for each in ids if each in related]
        slides = [(name, parts.xml(name)) for name in names]
        shown = [(name, root) for name, root in slides if root.get("show") not in ("0", "false")]
        blocks = [
            block
            for number, (name, root) in enumerate(shown, start=1)
            for block in _slide(parts, name, root, number)
        ]
        title, author = properties(parts)
        pictures = sum(_holds_diagram(root) for _, root in shown)
    first = next((_title(root) for _, root in shown if _title(root)), None)
    facts = {"slides": str(len(shown))}
    notes = tuple(_notes(len(slides) - len(shown), pictures))
    return Extracted("\n\n".join(blocks), title or first, author, None, facts, notes)


def attribute_of_relation(element: Any) -> str:
    """Return the relationship that an element names with `r:id` (beside an `id` of its own)."""
    for key, text in element.attrib.items():
        if key.endswith("}id"):
            return str(text)
    return ""


def _notes(hidden: int, pictures: int) -> Iterator[str]:
    if hidden:
        yield f"{plural(hidden, 'hidden slide')} left out"
    if pictures:
        yield f"charts and diagrams of {plural(pictures, 'slide')} left out"


def _slide(parts: ZipParts, name: str, root: Any, number: int) -> Iterator[str]:
    yield heading(2, _title(root) or f"Slide {number}")
    yield from _shapes(child(root, "csld", "sptree"))
    for kind, target in parts.relations(name).values():
        if kind == "notesSlide" and parts.has(target):
            notes = child(parts.xml(target), "csld", "sptree")
            texts = [block for each in _bodies(notes) for block in _paragraphs(each, bullets=False)]
            if texts:
                yield "Notes: " + "\n\n".join(texts)


def _bodies(tree: Any | None) -> Iterator[Any]:
    for shape in chosen(tree) if tree is not None else ():
        if tag_of(shape) == "sp" and _placeholder(shape) == "body":
            yield shape


def _placeholder(shape: Any) -> str | None:
    """Return the kind of placeholder that a shape fills; None for any other shape."""
    found = child(shape, "nvsppr", "nvpr", "ph")
    return None if found is None else attribute(found, "type") or "obj"


def _title(root: Any) -> str:
    tree = child(root, "csld", "sptree")
    for shape in tree.iter() if tree is not None else ():
        if tag_of(shape) == "sp" and _placeholder(shape) in _TITLES:
            return " ".join(" ".join(_paragraphs(shape, bullets=False)).split())
    return ""


def _shapes(tree: Any | None) -> Iterator[str]:
    for shape in chosen(tree) if tree is not None else ():
        tag = tag_of(shape)
        if tag == "grpsp":
            yield from _shapes(shape)
        elif tag == "graphicframe":
            yield from _tables(shape)
        elif tag == "sp" and (kind := _placeholder(shape)) not in (*_TITLES, *_REPEATED):
            yield from _paragraphs(shape, bullets=kind in ("body", "obj"))


def _tables(frame: Any) -> Iterator[str]:
    for found in frame.iter():
        if tag_of(found) == "tbl":
            rows = [row for row in found if tag_of(row) == "tr"]
            if text := table([[*_cells(row)] for row in rows]):
                yield text


def _cells(row: Any) -> Iterator[str]:
    for cell in row:
        if tag_of(cell) == "tc":
            yield " ".join(_paragraphs(cell, bullets=False))


def _paragraphs(shape: Any, bullets: bool) -> Iterator[str]:
    """Yield the paragraphs of a shape; bullets that follow one another are one block."""
    body = child(shape, "txbody")
    items: list[str] = []
    for each in body if body is not None else ():
        text = "".join(_text(each)).strip() if tag_of(each) == "p" else ""
        if not text:
            continue
        settings = child(each, "ppr")
        if bullets and (settings is None or child(settings, "bunone") is None):
            level = (settings.get("lvl") if settings is not None else None) or "0"
            items.append("  " * min(int(level), 8) + "- " + " ".join(text.split()))
            continue
        if items:
            yield "\n".join(items)
            items = []
        yield paragraph(text)
    if items:
        yield "\n".join(items)


def _text(element: Any) -> Iterator[str]:
    for each in chosen(element):
        tag = tag_of(each)
        if tag == "t":
            yield each.text or ""
        elif tag == "br":
            yield "\n"
        elif tag not in ("ppr", "rpr", "endpararpr"):
            yield from _text(each)


def _holds_diagram(root: Any) -> bool:
    return any(
        tag_of(each) == "graphicdata" and (each.get("uri") or "").endswith(("chart", "diagram"))
        for each in root.iter()
    )
