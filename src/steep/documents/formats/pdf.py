"""PDF files: PDFium gives characters, fonts and boxes; layout, headings and tables are found here.

    60 dense pages per second of processor time; PDFium alone 880 (benchmarks/documents.py)

Scanned files and files whose fonts do not say which characters they show are refused with advice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from steep.core.formatting import plural
from steep.documents.child import Unreadable
from steep.documents.formats.extracted import Extracted, given_author, given_title
from steep.documents.formats.layout import Fragment, columns, fragments
from steep.documents.formats.paragraphs import (
    Block,
    Page,
    blocks_of,
    markdown_of,
    outline_key,
    running_lines,
    typography,
)
from steep.documents.formats.pdfium import PdfPage, open_pdf, read_page
from steep.documents.formats.tables import find_tables

MOST_EMPTY = 0.8  # share of pages without text from which a file counts as scanned
MOST_UNKNOWN = 0.2  # share of characters without a meaning
DEEPEST_OUTLINE = 6

# Private use, replacement and control characters.
_UNKNOWN = re.compile("[\ue000-\uf8ff\ufffd\U000f0000-\U0010ffff\x03-\x1f]")
OCR = "recognize its text first: ocrmypdf {options}IN.pdf OUT.pdf"


def extract(path: str) -> Extracted:
    """Return the text of a PDF.

    Raises:
        Unreadable: It is encrypted, damaged, scanned, or its text has no meaning.
    """
    document = open_pdf(path)
    try:
        pages, notes = _pages(document)
        _check_text(pages)
        outline = _outline(document)
        meta: Mapping[str, str] = document.get_metadata_dict()
    finally:
        document.close()
    found = [fragments(page.words, page.rules) for page in pages]
    running = running_lines(found, [page.height for page in pages])
    laid = [
        _laid_out(number, page, lines)
        for number, (page, lines) in enumerate(zip(found, running, strict=True))
    ]
    usual = typography(laid)
    blocks = blocks_of(laid, usual, outline)
    facts = {"pages": str(len(pages)), "running_lines": str(sum(map(bool, running)))}
    return Extracted(
        text=markdown_of(blocks, usual),
        title=given_title(meta.get("Title")) or _largest_heading(blocks),
        author=given_author(meta.get("Author")),
        metadata=facts,
        notes=(*notes, *_notes(pages)),
    )


def _pages(document: Any) -> tuple[list[PdfPage], list[str]]:
    """Read all pages; one that is damaged is noted and stands empty."""
    pages: list[PdfPage] = []
    notes: list[str] = []
    for number in range(len(document)):
        try:
            pages.append(read_page(document, number))
        except Unreadable as error:
            notes.append(str(error))
    if not pages:
        raise Unreadable(notes[0] if notes else "it has no pages")
    return pages, notes


def _check_text(pages: Sequence[PdfPage]) -> None:
    empty = [page for page in pages if not page.words]
    if len(empty) == len(pages) or (
        len(empty) > MOST_EMPTY * len(pages) and all(page.images or page.drawn for page in empty)
    ):
        raise Unreadable(_without_text(pages, empty))
    text = "".join(word.text for page in pages for word in page.words)
    unknown = 0 if text.isascii() and text.isprintable() else len(_UNKNOWN.findall(text))
    if unknown > MOST_UNKNOWN * len(text):
        raise Unreadable(
            f"its fonts do not say which characters they show ({unknown:,} of "
            f"{len(text):,} are unknown); " + OCR.format(options="--force-ocr ")
        )


def _without_text(pages: Sequence[PdfPage], empty: Sequence[PdfPage]) -> str:
    """Return why a file has no text, and what helps."""
    images = sum(page.images > 0 for page in empty)
    drawn = sum(page.drawn and not page.images for page in empty)
    number = plural(len(pages), "page")
    if images and drawn:
        kinds = f"only images or drawings on {images + drawn} of {number}; "
        return f"no text, as in a scan: {kinds}{OCR.format(options='')}"
    if images:
        kinds = f"only images on {images} of {number}; "
        return f"no text, as in a scan: {kinds}{OCR.format(options='')}"
    if drawn:
        kinds = f"only drawings on {drawn} of {number}; if they show text, "
        return f"no text and no image, {kinds}{OCR.format(options='')}"
    return f"it has {number} and no text"


def _notes(pages: Sequence[PdfPage]) -> Iterator[str]:
    if empty := sum(not page.words for page in pages):
        yield f"no text on {empty} of {plural(len(pages), 'page')}"
    if rotated := sum(page.rotated for page in pages):
        yield f"{plural(rotated, 'word')} at an angle left out"


def _outline(document: Any) -> dict[str, int]:
    """Return the level of each title in the outline, by `outline_key`."""
    levels: dict[str, int] = {}
    for mark in document.get_toc(max_depth=DEEPEST_OUTLINE):
        if key := outline_key(mark.get_title() or ""):
            levels.setdefault(key, mark.level + 1)
    return levels


def _laid_out(number: int, page: Sequence[Fragment], running: set[Fragment]) -> Page:
    regions = columns([each for each in page if each not in running])
    return Page(number, tuple(tuple(find_tables(rows)) for rows in regions))


def _largest_heading(blocks: Sequence[Block]) -> str | None:
    """Return the largest heading of the first page."""
    first = [block for block in blocks if block.kind == "heading" and block.page == 0]
    largest = max(first, key=lambda block: block.size, default=None)
    return " ".join(largest.lines) if largest else None
