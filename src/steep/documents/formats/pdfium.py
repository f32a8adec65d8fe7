"""Words of a PDF page with their boxes and fonts, from PDFium.

Units are points (1/72 inch); y grows downwards. One call per character costs most of the time, so
boxes and fonts are asked for per word only.
"""

from __future__ import annotations

import ctypes
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from steep.documents.child import Unreadable

HYPHEN = "\x02"  # PDFium's sign for a hyphen at the end of a line
FIXED_PITCH, FORCE_BOLD = 1, 1 << 18  # font flags of the PDF specification
WIDEST_RULE, SHORTEST_RULE = 3.0, 36.0  # points; the latter is three lines

_HYPHENS = "\x02\ufffe"
_WORD = re.compile(rf"[^\s\0{_HYPHENS}]+[{_HYPHENS}]?|[{_HYPHENS}]")
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
class PdfRule:
    """A thin vertical line, as between the columns of a table."""

    x: float
    top: float
    bottom: float


@dataclass(frozen=True, slots=True)
class PdfPage:
    """The words of a page in the order of the file, and what else it shows if they are few.

    The height is that of the page turned so that its words are upright.
    """

    words: tuple[PdfWord, ...]
    rules: tuple[PdfRule, ...]  # of pages whose words are not turned
    height: float
    images: int
    drawn: bool  # whether it has lines or shapes
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
        images, shapes = (0, 0) if len(words) > 5 else _count_objects(page)
        most = _usual_angle(words)
        turned = _upright(words, most, width, height)
        upright = width if most in (90, 270) else height
        rules = () if most else tuple(_rules(page, height))
        return PdfPage(tuple(turned), rules, upright, images, shapes > 0, len(words) - len(turned))
    finally:
        text.close()
        page.close()


def _count_objects(page: Any) -> tuple[int, int]:
    """Return the numbers of images, and of lines and shapes."""
    import pypdfium2.raw as raw

    kinds = (raw.FPDF_PAGEOBJ_IMAGE, raw.FPDF_PAGEOBJ_PATH)
    found = Counter(each.type for each in page.get_objects(filter=kinds, max_depth=4))
    return found[kinds[0]], found[kinds[1]]


def _rules(page: Any, height: float) -> Iterator[PdfRule]:
    """Yield the long vertical lines of a page; one may be drawn in pieces, row by row."""
    rule: PdfRule | None = None
    for piece in sorted(_thin_shapes(page, height), key=lambda each: (round(each.x), each.top)):
        if rule and round(piece.x) == round(rule.x) and piece.top - rule.bottom <= WIDEST_RULE:
            rule = replace(rule, bottom=max(rule.bottom, piece.bottom))
            continue
        if rule and rule.bottom - rule.top >= SHORTEST_RULE:
            yield rule
        rule = piece
    if rule and rule.bottom - rule.top >= SHORTEST_RULE:
        yield rule


def _thin_shapes(page: Any, height: float) -> Iterator[PdfRule]:
    """Yield the strokes and filled rectangles that are narrow and upright."""
    import pypdfium2.raw as raw

    sides = [ctypes.c_float() for _ in range(4)]
    for index in range(raw.FPDFPage_CountObjects(page)):
        shape = raw.FPDFPage_GetObject(page, index)
        if raw.FPDFPageObj_GetType(shape) != raw.FPDF_PAGEOBJ_PATH:
            continue
        if raw.FPDFPageObj_GetBounds(shape, *sides):
            left, bottom, right, top = (side.value for side in sides)
            if right - left <= WIDEST_RULE < top - bottom:
                yield PdfRule((left + right) / 2, height - top, height - bottom)


def _words(text: Any, height: float) -> Iterator[PdfWord]:
    reader = _StyleReader(text)
    for match in _WORD.finditer("".join(map(chr, _codes(text)))):
        word = match[0]
        if word[-1] in _HYPHENS:  # the rest of the word is on the next line
            word = word[:-1] + HYPHEN
        yield _word(reader, word, match.start(), match.end() - 1, height)


def _codes(text: Any) -> Sequence[int]:
    """Return the code of each character: in one call, unless some have none or two in UTF-16."""
    import pypdfium2.raw as raw

    number = text.count_chars()
    buffer = (ctypes.c_ushort * (number + 1))()
    if raw.FPDFText_GetText(text, 0, number, buffer) == number + 1:
        return [*buffer[:number]]
    return [raw.FPDFText_GetUnicode(text, index) for index in range(number)]


class _StyleReader:
    """Font and angle of characters, asked for once per text object of the page."""

    def __init__(self, text: Any) -> None:
        import pypdfium2.raw as raw

        self.raw = raw
        self.text = text
        self._object = 0
        self._style = (0.0, False, False, 0)

    def style(self, index: int) -> tuple[float, bool, bool, int]:
        """Return size, whether bold, whether of fixed pitch, and angle."""
        found = self.raw.FPDFText_GetTextObject(self.text, index)
        address = ctypes.addressof(found.contents) if found else 0
        if not address or address != self._object:
            self._object = address
            matrix = self.raw.FS_MATRIX()
            self.raw.FPDFText_GetMatrix(self.text, index, matrix)
            scale = math.hypot(matrix.c, matrix.d)
            size = round(self.raw.FPDFText_GetFontSize(self.text, index) * scale, 1)
            angle = round(math.degrees(math.atan2(matrix.b, matrix.a))) % 360
            self._style = (size, *self._font(index), angle)
        return self._style

    def _font(self, index: int) -> tuple[bool, bool]:
        name, flags = ctypes.create_string_buffer(100), ctypes.c_int()
        self.raw.FPDFText_GetFontInfo(self.text, index, name, len(name), flags)
        shown = name.value.decode("utf-8", "replace").rpartition("+")[2]
        fixed = flags.value > 0 and bool(flags.value & FIXED_PITCH)
        forced = flags.value > 0 and bool(flags.value & FORCE_BOLD)
        return forced or bool(_BOLD.search(shown)), fixed or bool(_MONO.search(shown))


def _word(reader: _StyleReader, characters: str, first: int, last: int, height: float) -> PdfWord:
    raw = reader.raw
    box = end = raw.FS_RECTF()
    raw.FPDFText_GetLooseCharBox(reader.text, first, box)
    if last != first:
        end = raw.FS_RECTF()
        raw.FPDFText_GetLooseCharBox(reader.text, last, end)
    size, bold, mono, angle = reader.style(first)
    return PdfWord(
        text=characters if characters.isascii() else _readable(characters),
        left=min(box.left, end.left),
        right=max(box.right, end.right),
        top=height - max(box.top, end.top),
        bottom=height - min(box.bottom, end.bottom),
        size=size,
        bold=bold,
        mono=mono,
        angle=angle,
    )


def _readable(text: str) -> str:
    """Return the text with surrogate pairs joined and ligatures spelled out."""
    joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return joined.translate(_LIGATURES)


def _usual_angle(words: Sequence[PdfWord]) -> int:
    """Return the multiple of 90 degrees at which most words stand."""
    angles = Counter(round(word.angle / 90) * 90 % 360 for word in words)
    return angles.most_common(1)[0][0] if angles else 0


def _upright(words: list[PdfWord], most: int, width: float, height: float) -> list[PdfWord]:
    """Return the words at the angle of most, turned upright."""
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
