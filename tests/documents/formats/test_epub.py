"""EPUB: order of the spine, titles of chapters, and what is left out."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_files import archive

from steep.documents.child import Unreadable
from steep.documents.formats.epub import extract

CONTAINER = '<container><rootfiles><rootfile full-path="OEBPS/b.opf"/></rootfiles></container>'
PACKAGE = """<package xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>
<dc:title>The Ferry</dc:title><dc:creator>Ann Lee</dc:creator><dc:creator>Bo Dahl</dc:creator>
<dc:date>1921-05-01</dc:date></metadata><manifest>
<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>
<item id="two" href="text/two%20b.xhtml" media-type="application/xhtml+xml"/>
<item id="one" href="text/one.xhtml" media-type="application/xhtml+xml"/>
<item id="cover" href="c.jpg" media-type="image/jpeg"/></manifest><spine>
<itemref idref="nav"/><itemref idref="cover"/><itemref idref="one"/><itemref idref="two"/>
</spine></package>"""
NAV = """<html xmlns="http://www.w3.org/1999/xhtml"><body><nav><ol>
<li><a href="text/one.xhtml">Departure</a></li><li><a href="text/two%20b.xhtml#x">Storm</a></li>
</ol></nav></body></html>"""
ONE = """<?xml version="1.0" encoding="utf-8"?><!DOCTYPE html><html
xmlns="http://www.w3.org/1999/xhtml"><head><title/></head><body><p>The caf&eacute;&nbsp;was
open &amp; warm.</p></body></html>"""
TWO = "<html><body><h2>The Storm</h2><p>It blew.<p>And ended.</body></html>"


def book(path: Path, **changes: str) -> Path:
    parts = {
        "META-INF/container.xml": CONTAINER,
        "OEBPS/b.opf": PACKAGE,
        "OEBPS/nav.xhtml": NAV,
        "OEBPS/text/one.xhtml": ONE,
        "OEBPS/text/two b.xhtml": TWO,
    }
    return archive(path, parts | changes)


def test_chapters_come_in_the_order_of_the_spine_with_their_titles(tmp_path: Path) -> None:
    found = extract(str(book(tmp_path / "a.epub")))
    assert found.text.split("\n\n") == [
        "# Departure", "The café was open & warm.", "## The Storm", "It blew.", "And ended.",
    ]  # fmt: skip
    assert (found.title, found.author, found.year) == ("The Ferry", "Ann Lee and Bo Dahl", 1921)
    assert found.metadata == {"chapters": "2"}


def test_a_missing_chapter_is_noted_and_the_others_are_read(tmp_path: Path) -> None:
    path = archive(
        tmp_path / "a.epub",
        {"META-INF/container.xml": CONTAINER, "OEBPS/b.opf": PACKAGE, "OEBPS/text/one.xhtml": ONE},
    )
    found = extract(str(path))
    assert found.text == "The café was open & warm."
    assert found.notes == (
        "OEBPS/text/two b.xhtml is left out: damaged: the part OEBPS/text/two b.xhtml is missing",
    )


def test_a_book_without_chapters_is_refused(tmp_path: Path) -> None:
    path = archive(
        tmp_path / "a.epub", {"META-INF/container.xml": CONTAINER, "OEBPS/b.opf": "<p/>"}
    )
    with pytest.raises(Unreadable, match="it holds no chapter"):
        extract(str(path))
