"""Web pages: the main content as Markdown, without navigation, advertisements and comments.

trafilatura finds the content (F1 0.96 on 181 labeled pages of scrapinghub/article-extraction-
benchmark). Where it misses code or much of <main>, that is kept whole; on pages that are no article
it may miss most, and then all is kept but the parts that HTML itself marks as navigation.
"""

from __future__ import annotations

import codecs
import copy
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from steep.core.formatting import plural
from steep.core.words import count_words, words_of
from steep.documents.child import Unreadable
from steep.documents.formats.extracted import Extracted
from steep.documents.formats.markdown import heading
from steep.documents.formats.markup import (
    check_depth,
    drop,
    fill_spans,
    inline_text,
    is_hidden,
    shown_text,
    tag_of,
    to_markdown,
)
from steep.documents.legacy_encodings import likely_encoding

LEAST_KEPT = 0.2  # of the words outside navigation and links; with fewer the finder is not trusted
LEAST_OF_MAIN = 0.8  # of the words in <main>, where few of them are links
MOST_LINKED = 0.1  # share of words in links
START_WORDS = 12
LEAST_HEADED = 3  # paragraphs whose headings are put back
NOTED_KEPT = 0.6  # share of the words outside navigation; with fewer kept, a note says so
MUCH_LEFT_OUT = (
    f"less than {NOTED_KEPT:.0%} of its words are kept, as the others look like links or "
    "teasers; compare its text with the page"
)
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
CHARSET_BYTES = 4096  # in which a page names its encoding

SOUND_PER_BAD = 4  # characters beyond ASCII per bad one, from which a page is in an encoding
_REPLACED = "\N{REPLACEMENT CHARACTER}"
_AS_BROWSERS = {"iso-8859-1": "cp1252", "ascii": "utf-8", "us-ascii": "utf-8", "gb2312": "gb18030"}
_TAG = re.compile(rb"<[^>]*>")
_Value = TypeVar("_Value")
Words = tuple[str, ...]
_CHARSET = re.compile(
    rb"""<(?:meta|\?xml)[^>]*?(?:charset|encoding)\s*=\s*["']?\s*([\w.:-]+)""", re.I
)
_NAVIGATION = frozenset((
    "nav", "footer", "aside", "form", "script", "style", "noscript", "template", "iframe",
    "svg", "dialog",
))  # fmt: skip
_NAVIGATION_ROLES = frozenset((
    "navigation", "banner", "contentinfo", "search", "complementary", "menu", "menubar",
    "dialog", "alert",
))  # fmt: skip
_YEAR = re.compile(r"(?<!\d)(1[5-9]\d\d|20\d\d)(?!\d)")
_SECTION_HEADINGS = ("h2", "h3", "h4", "h5", "h6")  # an <h1> is the title
_FIRST_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_TITLE_META = ("og:title", "twitter:title", "dc.title", "citation_title")
_AUTHOR_META = ("author", "article:author", "dc.creator", "citation_author", "parsely-author")
_DATE_META = (
    "article:published_time", "citation_publication_date", "dc.date", "dcterms.date",
    "date", "pubdate", "datepublished",
)  # fmt: skip
_TAGS = {
    "list": "ul", "item": "li", "row": "tr", "cell": "td", "quote": "blockquote", "lb": "br",
    "hi": "span", "ref": "a", "code": "code", "graphic": "img",
}  # fmt: skip


def extract(path: str) -> Extracted:
    """Return the main content of a web page.

    Raises:
        Unreadable: It has no text, or elements are nested too deeply.
    """
    decoded = decode(Path(path).read_bytes())
    page = parsed_html(decoded.text)
    plain = _without_navigation(page)
    kept = _found_content(page)
    whole = _better(plain, kept)
    kept = _with_headings(kept, plain) if whole is None else to_markdown(whole)
    words, kept_words = count_words(shown_text(plain)), count_words(kept)
    much = MUCH_LEFT_OUT if kept_words < NOTED_KEPT * words else ""
    meta = _meta(page)
    return Extracted(
        text=kept,
        title=_title(page, meta, kept),
        author=_first(meta, _AUTHOR_META, lambda value: None if "://" in value else value),
        year=_first(meta, _DATE_META, _year),
        metadata={
            "encoding": decoded.encoding,
            "kept": f"{kept_words:,} of {words:,} words",
        },
        notes=tuple(filter(None, (decoded.note, much))),
    )


def _better(plain: Any, kept: str) -> Any | None:
    """Return the element to keep whole, if the finder missed much of it.

    Args:
        plain: The page without navigation.
        kept: What the finder kept.
    """
    kept_words = count_words(kept)
    words, linked = _words(plain)
    flattened = "\n" not in kept  # the last resort of the finder: all words in one line
    if flattened or kept_words < LEAST_KEPT * (words - linked):
        return plain
    mains = [each for each in plain.iter() if tag_of(each) == "main" or _role(each) == "main"]
    if len(mains) != 1:
        return None
    words, linked = _words(mains[0])
    code = sum(1 for _ in mains[0].iter("pre"))
    lost = kept_words < LEAST_OF_MAIN * words or kept.count("\n```\n") < code
    return mains[0] if lost and linked < MOST_LINKED * words else None


def _words(element: Any) -> tuple[int, int]:
    """Return the numbers of words, and of those in links."""
    linked = sum(count_words(shown_text(each)) for each in element.iter("a"))
    return count_words(shown_text(element)), linked


def _role(element: Any) -> str:
    return (element.get("role") or "") if tag_of(element) else ""


class DecodedPage(NamedTuple):
    """The text of a page, its encoding, and what was assumed about it (else empty)."""

    text: str
    encoding: str
    note: str = ""


def decode(data: bytes) -> DecodedPage:
    """Return the text of a page: by its mark, as it says itself, as UTF-8, or as is likely."""
    for mark, encoding in MARKS:
        if data.startswith(mark):
            return DecodedPage(data[len(mark) :].decode(encoding, "replace"), encoding)
    encodings = [*_named_encoding(data), "utf-8"]
    for encoding in encodings:
        with suppress(UnicodeDecodeError):
            return DecodedPage(data.decode(encoding), encoding)
    for encoding in encodings:
        text = data.decode(encoding, "replace")
        bad = text.count(_REPLACED)
        if bad * SOUND_PER_BAD <= sum(not each.isascii() for each in text) - bad:
            return DecodedPage(text, encoding, f"{plural(bad, 'character')} not {encoding}")
    encoding = likely_encoding(_TAG.sub(b" ", data)) or "cp1252"
    note = f"read as {encoding}, which is likely; the page names no encoding that fits"
    return DecodedPage(data.decode(encoding, "replace"), encoding, note)


def _named_encoding(data: bytes) -> list[str]:
    """Return the encoding that a page names, if it is one, as browsers understand the name."""
    named = _CHARSET.search(data[:CHARSET_BYTES])
    name = named[1].decode("ascii").lower() if named else ""
    name = _AS_BROWSERS.get(name, name)
    try:
        return [name] if name and codecs.lookup(name)._is_text_encoding else []
    except LookupError:
        return []


def parsed_html(text: str) -> Any:
    """Return the root element of a page, however broken it is.

    Raises:
        Unreadable: There is nothing in it, or elements are nested too deeply.
    """
    from lxml import etree, html

    # Without huge_tree the parser silently drops what is more than 256 elements deep.
    parser = html.HTMLParser(huge_tree=True, remove_comments=True, remove_pis=True)
    cleaned = re.sub("[\x00-\x08\x0b\x0e-\x1f\ud800-\udfff]", "", text)
    cleaned = re.sub(r"^\s*<\?xml[^>]*>", "", cleaned)  # lxml refuses a text that names an encoding
    try:
        page = html.document_fromstring(cleaned, parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError) as error:
        raise Unreadable("there is no element in it") from error
    check_depth(page)
    return page


def _without_navigation(page: Any) -> Any:
    """Return a copy without the parts that HTML marks as navigation."""
    plain = copy.deepcopy(page)
    doomed = [each for each in plain.iter() if tag_of(each) and _is_navigation(each)]
    for element in doomed:
        drop(element)
    return plain


def _is_navigation(element: Any) -> bool:
    tag = tag_of(element)
    if tag in _NAVIGATION or is_hidden(element):
        return tag not in ("html", "body")
    if tag == "header":  # of the page; that of an article has its title
        return not any(tag_of(each) in ("article", "main") for each in element.iterancestors())
    return _role(element) in _NAVIGATION_ROLES


def _found_content(page: Any) -> str:
    """Return the content that trafilatura finds, in its own elements renamed to those of HTML."""
    import trafilatura

    searched = copy.deepcopy(page)
    fill_spans(searched)
    # `fast` leaves out comparisons with other finders, which gain nothing on labeled pages.
    found = trafilatura.bare_extraction(
        searched, include_comments=False, include_formatting=True, fast=True
    )
    if found is None:
        return ""
    for element in found.body.iter():
        tag = tag_of(element)
        kind = element.get("rend") or ""
        if tag == "head":
            element.tag = kind if re.fullmatch(r"h[1-6]", kind) else "h3"
        elif tag == "list" and kind in ("ol", "dl"):
            element.tag = kind
        elif tag == "item" and kind[:2] in ("dt", "dd"):
            element.tag = kind[:2]
        elif tag == "code" and "\n" in "".join(element.itertext()).strip():
            element.tag = "pre"
        elif tag in _TAGS:
            element.tag = _TAGS[tag]
    return to_markdown(found.body)


def _with_headings(kept: str, plain: Any) -> str:
    """Put back headings that the finder dropped, each before the paragraph that follows it.

    It drops them where each is a link, as in references of an API; a few such ones are teasers.
    """
    blocks = kept.split("\n\n")
    places: dict[Words, int] = {}
    for place, block in enumerate(blocks):
        places.setdefault(_start(block), place)
    known = {_start(block) for block in blocks if block.startswith("#")}
    headed: dict[int, list[str]] = {}
    above: dict[int, tuple[Words, str]] = {}
    for element in plain.iter(*_SECTION_HEADINGS, "p", "pre", "li"):
        if is_hidden(element) or not (start := _start(text := inline_text(element))):
            continue
        if element.tag in _SECTION_HEADINGS:
            level = int(element.tag[1])
            above = {each: above[each] for each in above if each < level}
            above[level] = start, heading(level, text)
            continue
        lost = [title for words, title in above.values() if words not in known]
        if lost and start in places:
            headed.setdefault(places[start], lost)
        above = {}
    if len(headed) < LEAST_HEADED:
        return kept
    return "\n\n".join("\n\n".join([*headed.get(at, ()), each]) for at, each in enumerate(blocks))


def _start(text: str) -> Words:
    """Return the first words, by which a paragraph is recognized in Markdown."""
    return tuple(words_of(text)[:START_WORDS])


def _meta(page: Any) -> dict[str, str]:
    """Return the <meta> fields, by their names in lower case; of several values the first."""
    fields: dict[str, str] = {}
    for element in page.iter("meta"):
        name = element.get("property") or element.get("name") or element.get("itemprop") or ""
        if content := (element.get("content") or "").strip():
            fields.setdefault(name.lower(), content)
    return fields


def _first(
    meta: dict[str, str], names: tuple[str, ...], read: Callable[[str], _Value | None]
) -> _Value | None:
    values = (read(meta[name]) for name in names if name in meta)
    return next((value for value in values if value is not None), None)


def _title(page: Any, meta: dict[str, str], text: str) -> str | None:
    """Return the first heading of the text if the page's title has it, else what the page names.

    An <h1> outside the text counts if the title begins with it, as the site's name ends a title.
    """
    title = next((inline_text(each) for each in page.iter("title")), "")
    first = _FIRST_HEADING.search(text)
    heading = first[1].replace("`", "") if first else ""
    if heading and heading.casefold() in title.casefold():
        return heading
    headings = [inline_text(each) for each in page.iter("h1") if not is_hidden(each)]
    for each in headings:
        if each and title.casefold().startswith(each.casefold()):
            return each
    return _first(meta, _TITLE_META, str) or title or next(filter(None, headings), None)


def _year(value: str) -> int | None:
    found = _YEAR.search(value)
    return int(found[1]) if found else None
