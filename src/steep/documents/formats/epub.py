"""EPUB books: the chapters in the order of the spine, without table of contents and cover."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.entities import name2codepoint
from typing import Any

from steep.documents.child import Unreadable
from steep.documents.formats.extracted import Extracted
from steep.documents.formats.html import decode, parsed_html
from steep.documents.formats.markdown import heading
from steep.documents.formats.markup import drop, inline_text, tag_of, to_markdown
from steep.documents.formats.packages import ZipParts, joined, parsed_xml

CONTAINER = "META-INF/container.xml"
ENCRYPTION = "META-INF/encryption.xml"
_ENTITY = re.compile(r"&(\w+);")
_XML_ENTITIES = frozenset(("amp", "lt", "gt", "quot", "apos"))
_PAGES = ("application/xhtml+xml", "text/html")
_LISTS = frozenset(("toc", "landmarks", "page-list", "cover", "titlepage"))
_YEAR = re.compile(r"\d{4}")


def extract(path: str) -> Extracted:
    """Return the chapters of a book.

    Raises:
        Unreadable: It is damaged, encrypted, or holds no chapter.
    """
    with ZipParts(path, "EPUB") as parts:
        package = _package_name(parts)
        root = parts.xml(package)
        names = _spine(root, package)
        titles = _contents(parts, root, package)
        notes: list[str] = []
        chapters = [_chapter(parts, name, titles.get(name), notes) for name in names]
    text = "\n\n".join(filter(None, chapters))
    if not text:
        raise Unreadable(notes[0] if notes else "it holds no chapter")
    date = _YEAR.search(next(_fields(root, "date"), ""))
    return Extracted(
        text=text,
        title=next(_fields(root, "title"), None),
        author=" and ".join(_fields(root, "creator")) or None,
        year=int(date[0]) if date else None,
        metadata={"chapters": str(sum(map(bool, chapters)))},
        notes=tuple(notes),
    )


def _package_name(parts: ZipParts) -> str:
    for element in parts.xml(CONTAINER).iter():
        if tag_of(element) == "rootfile" and element.get("full-path"):
            return str(element.get("full-path"))
    raise Unreadable(f"damaged: {CONTAINER} names no book")


def _fields(root: Any, name: str) -> Iterator[str]:
    """Yield the values of a Dublin Core field."""
    for element in root.iter():
        if (
            tag_of(element) == name
            and "purl.org/dc" in element.tag
            and (text := inline_text(element))
        ):
            yield text


def _items(root: Any) -> dict[str, Any]:
    return {each.get("id", ""): each for each in root.iter() if tag_of(each) == "item"}


def _spine(root: Any, package: str) -> list[str]:
    """Return the parts of the chapters; those that list the others are left out."""
    items = _items(root)
    names = []
    for reference in root.iter():
        item = items.get(reference.get("idref", "")) if tag_of(reference) == "itemref" else None
        if item is None or item.get("media-type") not in _PAGES:
            continue
        if "nav" not in (item.get("properties") or "").split():
            names.append(joined(package, item.get("href", "")))
    return list(dict.fromkeys(names))


def _contents(parts: ZipParts, root: Any, package: str) -> dict[str, str]:
    """Return the title of each part in the table of contents, for chapters without a heading."""
    titles: dict[str, str] = {}
    for item in _items(root).values():
        is_nav = "nav" in (item.get("properties") or "").split()
        name = joined(package, item.get("href", ""))
        if not (is_nav or item.get("media-type") == "application/x-dtbncx+xml"):
            continue
        if not parts.has(name):
            continue
        for entry in _page(parts, name).iter():
            if tag_of(entry) == "a" and entry.get("href"):
                titles.setdefault(joined(name, entry.get("href")), inline_text(entry))
            elif tag_of(entry) == "navpoint":
                label = next((each for each in entry.iter() if tag_of(each) == "text"), None)
                content = next((each for each in entry.iter() if tag_of(each) == "content"), None)
                if label is not None and content is not None:
                    titles.setdefault(joined(name, content.get("src", "")), inline_text(label))
    return titles


def _chapter(parts: ZipParts, name: str, title: str | None, notes: list[str]) -> str:
    try:
        page = _page(parts, name)
    except Unreadable as error:
        notes.append(_locked(parts) or f"{name} is left out: {error}")
        return ""
    for element in [each for each in page.iter() if tag_of(each) and _is_list(each)]:
        drop(element)
    text = to_markdown(page)
    has_heading = re.match(r"#+ ", text) or not text
    return text if has_heading or not title else f"{heading(1, title)}\n\n{text}"


def _locked(parts: ZipParts) -> str | None:
    locked = parts.has(ENCRYPTION)
    return "encrypted (DRM); only books without it can be read" if locked else None


def _is_list(element: Any) -> bool:
    kinds = [value for key, value in element.attrib.items() if key.rpartition("}")[2] == "type"]
    return tag_of(element) == "nav" or any(_LISTS & set(kind.split()) for kind in kinds)


def _page(parts: ZipParts, name: str) -> Any:
    """Return the root of a page, by the rules of XML, or by those of HTML if it breaks them."""
    data = parts.read(name)
    text = _ENTITY.sub(_character, decode(data).text)
    try:
        return parsed_xml(re.sub(r"^\s*<\?xml[^>]*>", "", text).encode(), name)
    except Unreadable:
        return parsed_html(text)


def _character(match: re.Match[str]) -> str:
    known = match[1] in name2codepoint and match[1] not in _XML_ENTITIES
    return chr(name2codepoint[match[1]]) if known else match[0]
