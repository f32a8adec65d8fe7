"""What Word and PowerPoint files have in common: attributes, children by local name, properties."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from steep.documents.child import Unreadable
from steep.documents.formats.extracted import given_author, given_title
from steep.documents.formats.markup import tag_of
from steep.documents.formats.packages import ZipParts


def main_part(parts: ZipParts, what: str) -> str:
    """Return the name of the part that the whole file is about."""
    for kind, target in parts.relations("").values():
        if kind == "officeDocument":
            return target
    raise Unreadable(f"damaged, or no {what}: it names no main part")


def properties(parts: ZipParts) -> tuple[str | None, str | None]:
    """Return title and author as somebody entered them."""
    for kind, target in parts.relations("").values():
        if kind == "core-properties" and parts.has(target):
            fields = {tag_of(each): each.text for each in parts.xml(target)}
            return given_title(fields.get("title")), given_author(fields.get("creator"))
    return None, None


def attribute(element: Any, name: str) -> str | None:
    """Return an attribute by its local name, in whatever namespace."""
    for key, value in element.attrib.items():
        if key.rpartition("}")[2] == name:
            return str(value)
    return None


def child(element: Any, *names: str) -> Any | None:
    """Return the first child of the first name, of that the first of the second name, and so on."""
    for name in names:
        element = next((each for each in element if tag_of(each) == name), None)
        if element is None:
            return None
    return element


def value(element: Any | None) -> str | None:
    """Return the attribute `val` of an element that may be missing."""
    return None if element is None else attribute(element, "val")


def chosen(element: Any) -> Iterator[Any]:
    """Yield the children; of alternatives for several versions of Office only the first."""
    for each in element:
        tag = tag_of(each)
        if tag == "alternatecontent":
            yield from chosen(each[0]) if len(each) else ()
        elif tag:
            yield each
