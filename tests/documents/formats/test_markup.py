"""Elements of HTML as Markdown."""

from __future__ import annotations

import pytest
from lxml import html

from steep.documents.child import Unreadable
from steep.documents.formats.markup import to_markdown


def markdown(text: str) -> str:
    return to_markdown(html.document_fromstring(f"<body>{text}</body>"))


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<h2>Old <b>Mill</b></h2>Text <i>of</i> it<p>More", "## Old Mill\n\nText of it\n\nMore"),
        ("<p>one<br>two</p><p> three\n  four </p>", "one\ntwo\n\nthree four"),
        ("<ul><li>a<ul><li>b</ul><li><p>c</p><p>d</p></ul>", "- a\n  - b\n- c\n\n  d"),
        ("<ol start=3><li>a<li>b</ol>", "3. a\n4. b"),
        ("<dl><dt>eel<dd>a fish<dt>elk<dd>a deer</dl>", "- eel: a fish\n- elk: a deer"),
        ("<pre><code class='language-c'>if (a)\n  b();</code></pre>", "```c\nif (a)\n  b();\n```"),
        ("<pre>a\n```\nb</pre>", "````\na\n```\nb\n````"),
        ("<blockquote><p>a<p>b</blockquote>", "> a\n>\n> b"),
        ("<p>call <code>f()</code></p>", "call `f()`"),
        ("<p># no heading</p>", "\\# no heading"),
        (
            "<p>seen<span hidden>not</span><b style='display: none'>nor</b></p><script>x</script>",
            "seen",
        ),
        ("<span><p>a</p></span>b", "a\n\nb"),
        (
            "<table><caption>Fares</caption><tr><th>a<th>b|c"
            "<tr><td rowspan=2>1<td>2<tr><td>3</table>",
            "Fares\n\n| a | b\\|c |\n| --- | --- |\n| 1 | 2 |\n| 1 | 3 |",
        ),
        (
            "<table><tr><th colspan=2>a<tr><td>1<td>2</table>",
            "| a | a |\n| --- | --- |\n| 1 | 2 |",
        ),
        ("<table><tr><td><h2>Left</h2>text<td>right</table>", "## Left\n\ntext\n\nright"),
        ("<table><tr><td>alone</table>", "alone"),
    ],
)
def test_elements_become_markdown(page: str, text: str) -> None:
    assert markdown(page) == text


def test_a_tree_that_is_too_deep_is_refused_with_the_reason() -> None:
    parser = html.HTMLParser(huge_tree=True)
    root = html.fromstring("<div>" * 2500 + "deep", parser=parser)
    with pytest.raises(Unreadable, match="nested more than 400 deep"):
        to_markdown(root)


def test_a_table_of_huge_spans_is_refused() -> None:
    row = "<tr>" + "<td colspan=1000 rowspan=1000>x" * 100
    with pytest.raises(Unreadable, match="more than 200,000 cells"):
        markdown(f"<table>{row * 5}</table>")
