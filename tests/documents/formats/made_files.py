"""Small files of each format, made by the tests."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

FONTS = {"F": "Helvetica", "B": "Helvetica-Bold", "M": "Courier"}
A4_HEIGHT = 842


class Text(NamedTuple):
    """A text at a place, in points from the top left."""

    x: float
    y: float
    text: str
    size: float = 10
    font: str = "F"


def pdf(
    path: Path,
    pages: Sequence[Sequence[Text]],
    *,
    info: str = "",
    trailer: str = "",
    extra: str = "",
    rotate: int = 0,
) -> Path:
    """Write a PDF; `extra` is appended to the content of each page."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", ""]
    fonts = " ".join(f"/{key} {3 + at} 0 R" for at, key in enumerate(FONTS))
    objects += [
        f"<< /Type /Font /Subtype /Type1 /BaseFont /{name} /Encoding /WinAnsiEncoding >>"
        for name in FONTS.values()
    ]
    objects.append(f"<< {info} >>")
    kids = []
    for page in pages:
        content = extra + "".join(_shown(text) for text in page)
        kids.append(f"{len(objects) + 1} 0 R")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 {A4_HEIGHT}] /Rotate {rotate} "
            f"/Resources << /Font << {fonts} >> >> /Contents {len(objects) + 2} 0 R >>"
        )
        size = len(content.encode("cp1252"))
        objects.append(f"<< /Length {size} >>\nstream\n{content}\nendstream")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    data, places = b"%PDF-1.7\n", []
    for number, each in enumerate(objects, start=1):
        places.append(len(data))
        data += f"{number} 0 obj\n{each}\nendobj\n".encode("cp1252")
    start = len(data)
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    data += (
        f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer\n<< /Size "
        f"{len(objects) + 1} /Root 1 0 R /Info 6 0 R {trailer} >>\nstartxref\n{start}\n%%EOF\n"
    ).encode()
    path.write_bytes(data)
    return path


def _shown(text: Text) -> str:
    escaped = text.text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
    place = f"{text.x} {A4_HEIGHT - text.y} Td"
    return f"BT /{text.font} {text.size} Tf {place} ({escaped}) Tj ET\n"


def lines(x: float, y: float, *texts: str, size: float = 10, font: str = "F") -> list[Text]:
    """Return lines below one another."""
    return [Text(x, y + at * 1.2 * size, text, size, font) for at, text in enumerate(texts)]


def archive(path: Path, parts: Mapping[str, str | bytes]) -> Path:
    """Write a ZIP archive."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in parts.items():
            file.writestr(name, data)
    return path


def relations(**targets: str) -> str:
    """Return the relationships of an Office part: kind=target, with the kind as id."""
    each = (
        f'<Relationship Id="{kind}" Type="http://x/{kind.partition("_")[0].replace("0", "-")}" '
        f'Target="{target}"/>'
        for kind, target in targets.items()
    )
    return f'<Relationships xmlns="http://r">{"".join(each)}</Relationships>'


W = 'xmlns:w="http://w" xmlns:mc="http://mc" xmlns:v="http://v"'
STYLES = f"""<w:styles {W}>
<w:style w:styleId="Titel"><w:name w:val="Title"/></w:style>
<w:style w:styleId="berschrift1"><w:name w:val="heading 1"/>
  <w:pPr><w:outlineLvl w:val="0"/></w:pPr></w:style>
<w:style w:styleId="Own"><w:name w:val="Own"/><w:basedOn w:val="berschrift1"/></w:style>
<w:style w:styleId="H2"><w:name w:val="heading 2"/></w:style>
<w:style w:styleId="Toc"><w:name w:val="toc 1"/></w:style>
<w:style w:styleId="Code"><w:name w:val="Source Code"/></w:style>
</w:styles>"""
NUMBERING = f"""<w:numbering {W}>
<w:abstractNum w:abstractNumId="7"><w:lvl w:ilvl="0"><w:numFmt w:val="decimal"/></w:lvl>
<w:lvl w:ilvl="1"><w:numFmt w:val="bullet"/></w:lvl></w:abstractNum>
<w:num w:numId="2"><w:abstractNumId w:val="7"/></w:num></w:numbering>"""


def docx(path: Path, body: str, footnotes: str = "", core: str = "") -> Path:
    """Write a Word file with this XML as its body."""
    return archive(
        path,
        {
            "_rels/.rels": relations(
                officeDocument="word/document.xml", core0properties="docProps/core.xml"
            ),
            "docProps/core.xml": f'<p xmlns:dc="http://dc">{core}</p>',
            "word/document.xml": f"<w:document {W}><w:body>{body}</w:body></w:document>",
            "word/_rels/document.xml.rels": relations(
                styles="styles.xml", numbering="numbering.xml", footnotes="footnotes.xml"
            ),
            "word/styles.xml": STYLES,
            "word/numbering.xml": NUMBERING,
            "word/footnotes.xml": f"<w:footnotes {W}>{footnotes}</w:footnotes>",
        },
    )


def p(text: str, settings: str = "") -> str:
    """Return a paragraph of Word; `text` may contain runs of its own."""
    runs = text if text.startswith("<") else f"<w:r><w:t>{text}</w:t></w:r>"
    return f"<w:p><w:pPr>{settings}</w:pPr>{runs}</w:p>"


def styled(text: str, style: str) -> str:
    """Return a paragraph with a style."""
    return p(text, f'<w:pStyle w:val="{style}"/>')


def png_page(path: Path) -> Path:
    """Write a PDF of one page that is an image, as a scanner does."""
    pixels = zlib.compress(b"\x80" * 64).hex()
    image = f"q 500 0 0 700 40 40 cm BI /W 8 /H 8 /BPC 8 /CS /G /F [/AHx /Fl] ID {pixels}> EI Q\n"
    return pdf(path, [[]], extra=image)
