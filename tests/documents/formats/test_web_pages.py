"""Web pages: what is kept, what is left out, titles and encodings."""

from __future__ import annotations

from pathlib import Path

import pytest

from steep.documents.child import Unreadable
from steep.documents.formats.html import MUCH_LEFT_OUT, decode, extract

TEXT = (
    "The ferry crosses the sound twice a day, at dawn and at dusk, whatever the weather may be. "
    "Its captain has never missed a trip since the old pier was rebuilt after the great storm. "
)
PAGE = f"""<!DOCTYPE html><html><head><title>Leave - Handbook | Acme</title>
<meta name="author" content="Ann Lee"><meta property="article:published_time" content="2019-04-02">
<style>p {{ color: red }}</style></head><body>
<header><a href="/">Acme</a></header>
<nav><ul><li><a href="/a">Products</a><li><a href="/b">Careers</a></ul></nav>
<main><h1>Leave</h1><p>{TEXT}</p><h2>Parents</h2><p>{TEXT}</p>
<ul><li>sixteen weeks of leave<li>written approval by the office</ul>
<table><tr><th>Grade<th>Days<tr><td rowspan=2>A<td>25<tr><td>30</table>
<pre><code>def days(grade):
    return 25</code></pre></main>
<aside>Subscribe to our newsletter</aside>
<footer>Copyright Acme. <a href="/p">Privacy</a></footer>
<script>alert("boo")</script></body></html>"""


def written(path: Path, page: str | bytes) -> str:
    path.write_bytes(page if isinstance(page, bytes) else page.encode())
    return str(path)


def test_the_content_is_kept_with_its_structure_and_navigation_left_out(tmp_path: Path) -> None:
    found = extract(written(tmp_path / "a.html", PAGE))
    assert found.text.split("\n\n") == [
        "# Leave",
        TEXT.strip(),
        "## Parents",
        TEXT.strip(),
        "- sixteen weeks of leave\n- written approval by the office",
        "| Grade | Days |\n| --- | --- |\n| A | 25 |\n| A | 30 |",
        "```\ndef days(grade):\n    return 25\n```",
    ]
    assert (found.title, found.author, found.year) == ("Leave", "Ann Lee", 2019)
    assert found.metadata["encoding"] == "utf-8"


def test_a_page_in_which_no_article_is_found_is_kept_whole(tmp_path: Path) -> None:
    rows = "".join(f"<tr><td>part {n}<td>{n * 3} kg" for n in range(9))
    page = f"<nav>Menu</nav><table>{rows}</table>"
    found = extract(written(tmp_path / "a.html", page))
    assert "| part 8 | 24 kg |" in found.text and "Menu" not in found.text


def test_headings_that_are_links_are_kept_and_much_that_is_left_out_is_noted(
    tmp_path: Path,
) -> None:
    links = "".join(f"<li><a href=#>see also section {n}</a>" for n in range(9))
    calls = [f"<h3><a href=#>call {n}</a></h3><p>{n}. {TEXT}</p><ul>{links}</ul>" for n in range(3)]
    page = f"<title>API</title><body><h1>API</h1><h2>All calls</h2>{''.join(calls)}"
    found = extract(written(tmp_path / "a.html", page))
    headings = [line for line in found.text.split("\n") if line.startswith("#")]
    assert headings == ["## All calls", "### call 0", "### call 1", "### call 2"]
    assert found.notes == (MUCH_LEFT_OUT,) and "60%" in MUCH_LEFT_OUT
    assert not extract(written(tmp_path / "a.html", PAGE)).notes


def test_documentation_keeps_the_code_that_the_finder_takes_for_an_advertisement(
    tmp_path: Path,
) -> None:
    code = '<div class="promo-banner ads"><pre>let v = vec![1];</pre></div>'
    page = PAGE.replace("<h2>Parents</h2>", f"{code}<h2>Parents</h2>")
    found = extract(written(tmp_path / "a.html", page)).text
    assert "```\nlet v = vec![1];\n```" in found
    assert "Careers" not in found and "newsletter" not in found


@pytest.mark.parametrize(
    ("head", "body", "title"),
    [
        ("<title>Ferry - Site</title>", "<div hidden><h1>Site</h1></div>{}", "Ferry - Site"),
        ("<title>Ferry - Site</title>", "<h1>Site</h1><main><h1>Ferry</h1>{}</main>", "Ferry"),
        ("<title>ferry | Site</title>", "<main><h2><code>Ferry</code></h2>{}</main>", "Ferry"),
        ("<meta property='og:title' content='Ferry'>", "{}", "Ferry"),
        ("", "<h1>Ferry</h1>{}", "Ferry"),
        ("", "{}", None),
    ],
)
def test_the_title_is_that_of_the_page_and_not_of_the_site(
    tmp_path: Path, head: str, body: str, title: str | None
) -> None:
    text = f"<p>{TEXT}</p>" * 4
    page = f"<html><head>{head}</head><body>{body.format(text)}</body></html>"
    assert extract(written(tmp_path / "a.html", page)).title == title


@pytest.mark.parametrize(
    ("data", "text", "encoding"),
    [
        ("\ufeffé".encode("utf-16-le"), "é", "utf-16-le"),
        (b"\xef\xbb\xbf\xc3\xa9", "é", "utf-8"),
        (b"<meta charset='ISO-8859-1'>\x93\xe9", "<meta charset='ISO-8859-1'>\u201cé", "cp1252"),
        (
            b'<meta http-equiv="Content-Type" content="text/html; charset=koi8-r">\xc1',
            '<meta http-equiv="Content-Type" content="text/html; charset=koi8-r">\u0430',
            "koi8-r",
        ),
        (b'<?xml version="1.0" encoding="shift_jis"?>\x82\xa0', None, "shift_jis"),
        (b"<meta charset=nonsense>\xc3\xa9", "<meta charset=nonsense>é", "utf-8"),
        (b"<meta charset=hex>ab", "<meta charset=hex>ab", "utf-8"),
        (b"<p>caf\xe9</p>", "<p>café</p>", "windows-1252"),
        (b"<p>\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xff</p>", "<p>éééé\ufffd</p>", "utf-8"),
        (
            "<p>Паром ходит через пролив два раза в день.".encode("cp1251"),
            "<p>Паром ходит через пролив два раза в день.",
            "windows-1251",
        ),
    ],
)
def test_the_encoding_is_that_of_the_mark_the_page_or_its_bytes(
    data: bytes, text: str | None, encoding: str
) -> None:
    found = decode(data)
    assert found.encoding == encoding
    assert text is None or found.text == text
    assert bool(found.note) == data.startswith(b"<p>")


@pytest.mark.parametrize("depth", [300, 2500])
def test_deep_nesting_is_read_or_refused_but_never_cut(tmp_path: Path, depth: int) -> None:
    page = written(tmp_path / "a.html", "<div>" * depth + f"<p>{TEXT}")
    if depth == 300:
        assert TEXT.strip() in extract(page).text
    else:
        with pytest.raises(Unreadable, match="nested more than 400 deep"):
            extract(page)


@pytest.mark.parametrize("page", ["", "<!-- nothing -->", "\x00\x01"])
def test_an_empty_page_holds_nothing(tmp_path: Path, page: str) -> None:
    try:
        assert extract(written(tmp_path / "a.html", page)).text == ""
    except Unreadable as error:
        assert str(error) == "there is no element in it"
