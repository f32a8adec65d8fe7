"""Words of a PDF page with their boxes and fonts, from PDFium.

Units are points (1/72 inch); y grows downwards. One call per character costs most of the time, so
boxes and fonts are asked for per word only.
"""

from __future__ import annotations

import ctypes
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from steep.documents.child import Unreadable

HYPHEN = "\x02"  # PDFium's sign for a hyphen at the end of a line
FIXED_PITCH, FORCE_BOLD = 1, 1 << 18  # font flags of the PDF specification

_BLANKS = frozenset(code for code in range(0x3001) if code == 0 or chr(code).isspace())
_HYPHENS = (2, 0xFFFE)
_BOLD = re.compile(r"bold|black|heavy|demi|cmbx|cmssbx|bx\d|medi", re.IGNORECASE)
_MONO = re.compile(r"mono|courier|consol|cmtt|typewriter|inconsol|sourcecode|menlo", re.IGNORECASE)
_LIGATURES = str.maketrans(
    {"\ufb00": "ff", "\ufb01": "fi", "\ufb02": "fl", "\ufb03": "ffi", "\ufb04": "ffl",
     "\ufb05": "st", "\ufb06": "st", "\u00ad": "-"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PdfWord:
    """A run of characters without blanks: its box, the size of its font, and its angle."""

    text: str
    left: float
    right: float
    top: float
    bottom: float
    size: float
    bold: bool
    mono: bool
    angle: int  # degrees, counterclockwise


@dataclass(frozen=True, slots=True)
class PdfPage:
    """The words of a page in the order of the file; `images` only if there are few words."""

    words: tuple[PdfWord, ...]
    height: float
    images: int
    rotated: int  # words that stand at another angle than most, which are left out


def open_pdf(path: str) -> Any:
    """Open a PDF.

    Raises:
        Unreadable: It is encrypted or damaged.
    """
    import pypdfium2
    import pypdfium2.raw as raw

    try:
        return pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        if error.err_code in (raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY):
            raise Unreadable(
                "encrypted; remove the password: qpdf --password=PASSWORD --decrypt IN.pdf OUT.pdf"
            ) from error
        raise Unreadable(f"damaged, or no PDF: {error}") from error


def read_page(document: Any, number: int) -> PdfPage:
    """Return the words of a page, by its number from 0.

    Raises:
        Unreadable: PDFium cannot load it.
    """
    import pypdfium2

    try:
        page = document[number]
        text = page.get_textpage()
    except pypdfium2.PdfiumError as error:
        raise Unreadable(f"page {number + 1}: {error}") from error
    try:
        width, height = page.get_size()
        words = [*_words(text, height)]
        images = 0 if len(words) > 5 else _count_images(page)
        turned = _upright(words, width, height)
        return PdfPage(tuple(turned), height, images, len(words) - len(turned))
    finally:
        text.close()
        page.close()


def _count_images(page: Any) -> int:
    import pypdfium2.raw as raw

    kinds = (raw.FPDF_PAGEOBJ_IMAGE, raw.FPDF_PAGEOBJ_PATH)
    return sum(1 for _ in page.get_objects(filter=kinds, max_depth=4))


def _words(text: Any, height: float) -> Iterator[PdfWord]:
    import pypdfium2.raw as raw

    unicode_of = raw.FPDFText_GetUnicode
    characters: list[str] = []
    start = 0
    number = text.count_chars()
    for index in range(number + 1):
        code = unicode_of(text, index) if index < number else 32
        if code in _BLANKS:
            if characters:
                yield _word(text, "".join(characters), start, index - 1, height)
                characters = []
            continue
        if not characters:
            start = index
        hyphen = code in _HYPHENS
        characters.append(HYPHEN if hyphen else chr(code))
        if hyphen:  # the rest of the word is on the next line
            yield _word(text, "".join(characters), start, index, height)
            characters = []


def _word(text: Any, characters: str, first: int, last: int, height: float) -> PdfWord:
    import pypdfium2.raw as raw

    box, end, matrix = raw.FS_RECTF(), raw.FS_RECTF(), raw.FS_MATRIX()
    raw.FPDFText_GetLooseCharBox(text, first, box)
    raw.FPDFText_GetLooseCharBox(text, last, end)
    raw.FPDFText_GetMatrix(text, first, matrix)
    size = raw.FPDFText_GetFontSize(text, first) * math.hypot(matrix.c, matrix.d)
    bold, mono = _font(text, first)
    return PdfWord(
        text=_joined_surrogates(characters).translate(_LIGATURES),
        left=min(box.left, end.left),
        right=max(box.right, end.right),
        top=height - max(box.top, end.top),
        bottom=height - min(box.bottom, end.bottom),
        size=round(size, 1),
        bold=bold,
        mono=mono,
        angle=round(math.degrees(math.atan2(matrix.b, matrix.a))) % 360,
    )


def _joined_surrogates(text: str) -> str:
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _font(text: Any, index: int) -> tuple[bool, bool]:
    """Return whether the font of a character is bold, and whether it has a fixed pitch."""
    import pypdfium2.raw as raw

    name, flags = ctypes.create_string_buffer(100), ctypes.c_int()
    raw.FPDFText_GetFontInfo(text, index, name, len(name), flags)
    shown = name.value.decode("utf-8", "replace").rpartition("+")[2]
    fixed = flags.value > 0 and bool(flags.value & FIXED_PITCH)
    forced = flags.value > 0 and bool(flags.value & FORCE_BOLD)
    return forced or bool(_BOLD.search(shown)), fixed or bool(_MONO.search(shown))


def _upright(words: list[PdfWord], width: float, height: float) -> list[PdfWord]:
    """Return the words at the angle of most, turned upright."""
    if not words:
        return []
    angles = Counter(round(word.angle / 90) * 90 % 360 for word in words)
    most = angles.most_common(1)[0][0]
    same = [word for word in words if abs((word.angle - most + 180) % 360 - 180) <= 5]
    if most == 0:
        return same
    return [_turned(word, most, width, height) for word in same]


def _turned(word: PdfWord, angle: int, width: float, height: float) -> PdfWord:
    left, right, top, bottom = word.left, word.right, word.top, word.bottom
    if angle == 90:  # reads from bottom to top
        left, right, top, bottom = height - bottom, height - top, left, right
    elif angle == 270:
        left, right, top, bottom = top, bottom, width - right, width - left
    else:
        left, right, top, bottom = width - right, width - left, height - bottom, height - top
    return replace(word, left=left, right=right, top=top, bottom=bottom)
