"""Word and PowerPoint files, and the archives that hold them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from made_files import archive, docx, p, relations, styled

from steep.documents.child import Unreadable
from steep.documents.formats import packages, slides, word


def blocks(path: Path) -> list[str]:
    return word.extract(str(path)).text.split("\n\n")


def test_headings_are_found_by_style_inheritance_and_outline_level(tmp_path: Path) -> None:
    body = (
        styled("Handbook", "Titel")
        + styled("Leave", "berschrift1")
        + styled("Parents", "H2")
        + styled("Own style", "Own")
        + p("By level", '<w:outlineLvl w:val="2"/>')
        + styled("Leave 3", "Toc")
        + p("Text of it.")
    )
    found = word.extract(
        str(docx(tmp_path / "a.docx", body, core="<dc:creator>Ann Lee</dc:creator>"))
    )
    assert found.text.split("\n\n") == [
        "# Handbook", "# Leave", "## Parents", "# Own style", "### By level", "Text of it.",
    ]  # fmt: skip
    assert (found.title, found.author) == ("Handbook", "Ann Lee")


def test_lists_code_and_line_breaks(tmp_path: Path) -> None:
    item = '<w:numPr><w:ilvl w:val="{}"/><w:numId w:val="2"/></w:numPr>'
    body = (
        p("one", item.format(0)) + p("below", item.format(1)) + p("two", item.format(0))
        + styled("def f():", "Code") + styled("    pass", "Code")
        + p("<w:r><w:t>a</w:t><w:br/><w:t>b</w:t><w:tab/><w:t>c</w:t><w:noBreakHyphen/></w:r>")
    )  # fmt: skip
    assert blocks(docx(tmp_path / "a.docx", body)) == [
        "1. one\n  - below\n2. two", "```\ndef f():\n    pass\n```", "a\nb c-",
    ]  # fmt: skip


def test_tracked_changes_are_read_as_accepted(tmp_path: Path) -> None:
    body = p(
        "<w:r><w:t>kept </w:t></w:r><w:ins><w:r><w:t>added</w:t></w:r></w:ins>"
        "<w:del><w:r><w:delText>deleted</w:delText><w:t>deleted</w:t></w:r></w:del>"
        "<w:moveFrom><w:r><w:t>moved</w:t></w:r></w:moveFrom>"
        "<w:r><w:rPr><w:vanish/></w:rPr><w:t>hidden</w:t></w:r>"
        "<w:r><w:instrText>PAGE</w:instrText></w:r>"
    )
    assert blocks(docx(tmp_path / "a.docx", body)) == ["kept added"]


def test_footnotes_follow_the_text_in_the_order_of_their_marks(tmp_path: Path) -> None:
    mark = '<w:r><w:t>{}</w:t><w:footnoteReference w:id="{}"/></w:r>'
    body = p(mark.format("North", 5)) + p(mark.format("South", 3))
    notes = "".join(
        f'<w:footnote w:id="{at}">{p(text)}</w:footnote>'
        for at, text in ((0, "separator"), (3, "the southern one"), (5, "the northern one"))
    )
    assert blocks(docx(tmp_path / "a.docx", body, notes)) == [
        "North[^1]", "South[^2]", "[^1]: the northern one", "[^2]: the southern one",
    ]  # fmt: skip


def cell(text: str, settings: str = "") -> str:
    return f"<w:tc><w:tcPr>{settings}</w:tcPr>{p(text)}</w:tc>"


def test_merged_cells_stand_in_each_row_and_column(tmp_path: Path) -> None:
    rows = [
        cell("Fares", '<w:gridSpan w:val="2"/>') + cell("Runs"),
        cell("North", '<w:vMerge w:val="restart"/>') + cell("4.50") + cell("daily"),
        cell("", "<w:vMerge/>") + cell("6.00") + cell("Sundays"),
    ]
    table = "".join(f"<w:tr>{row}</w:tr>" for row in rows)
    deleted = f"<w:tr><w:trPr><w:del/></w:trPr>{cell('gone')}</w:tr>"
    (found,) = blocks(docx(tmp_path / "a.docx", f"<w:tbl>{table}{deleted}</w:tbl>"))
    assert found.split("\n") == [
        "| Fares | Fares | Runs |", "| --- | --- | --- |",
        "| North | 4.50 | daily |", "| North | 6.00 | Sundays |",
    ]  # fmt: skip


def test_tables_within_tables_are_read_once(tmp_path: Path) -> None:
    start, end = "<w:tbl><w:tr><w:tc>", "</w:tc></w:tr></w:tbl>"
    assert blocks(docx(tmp_path / "a.docx", start * 60 + p("inner") + end * 60)) == ["inner"]


def test_text_boxes_and_controls_are_read_once(tmp_path: Path) -> None:
    box = f"<w:txbxContent>{p('boxed')}</w:txbxContent>"
    body = (
        p(
            f"<w:r><w:t>text</w:t><mc:AlternateContent><mc:Choice>{box}</mc:Choice>"
            f"<mc:Fallback>{box}</mc:Fallback></mc:AlternateContent></w:r>"
        )
        + f"<w:sdt><w:sdtContent>{p('in a control')}</w:sdtContent></w:sdt>"
    )
    assert blocks(docx(tmp_path / "a.docx", body)) == ["text", "boxed", "in a control"]


A = 'xmlns:a="http://a" xmlns:p="http://p" xmlns:r="http://r"'


def shape(text: str, kind: str | None = None, level: int = 0) -> str:
    place = f'<p:ph type="{kind}"/>' if kind else ""
    paragraphs = "".join(
        f'<a:p><a:pPr lvl="{level}"/><a:r><a:t>{each}</a:t></a:r></a:p>' for each in text.split("|")
    )
    return (
        f"<p:sp><p:nvSpPr><p:nvPr>{place}</p:nvPr></p:nvSpPr>"
        f"<p:txBody>{paragraphs}</p:txBody></p:sp>"
    )


def slide(content: str, attributes: str = "") -> str:
    return f"<p:sld {A} {attributes}><p:cSld><p:spTree>{content}</p:spTree></p:cSld></p:sld>"


def test_slides_in_their_order_with_titles_bullets_tables_and_notes(tmp_path: Path) -> None:
    row = (
        "<a:tr>"
        + "".join(
            f"<a:tc><a:txBody><a:p><a:r><a:t>{each}</a:t></a:r></a:p></a:txBody></a:tc>"
            for each in "ab"
        )
        + "</a:tr>"
    )
    table = f"<p:graphicFrame><a:graphic><a:tbl>{row * 2}</a:tbl></a:graphic></p:graphicFrame>"
    chart = '<p:graphicFrame><a:graphicData uri="http://x/chart"/></p:graphicFrame>'
    path = archive(
        tmp_path / "a.pptx",
        {
            "_rels/.rels": relations(officeDocument="ppt/p.xml"),
            "ppt/p.xml": f'<p:p {A}><p:sldIdLst><p:sldId id="9" r:id="slide_2"/>'
            '<p:sldId id="8" r:id="slide_1"/><p:sldId id="7" r:id="slide_3"/></p:sldIdLst></p:p>',
            "ppt/_rels/p.xml.rels": relations(
                slide_1="slides/s1.xml", slide_2="slides/s2.xml", slide_3="slides/s3.xml"
            ),
            "ppt/slides/s1.xml": slide(shape("loose text") + table + chart),
            "ppt/slides/s2.xml": slide(
                shape("The Ferry", "title") + shape("fast|safe", "body", 1) + shape("7", "sldNum")
            ),
            "ppt/slides/s3.xml": slide(shape("Secret", "title"), 'show="0"'),
            "ppt/slides/_rels/s2.xml.rels": relations(notesSlide="../notes/n.xml"),
            "ppt/notes/n.xml": slide(shape("Smile.", "body")),
        },
    )
    found = slides.extract(str(path))
    assert found.text.split("\n\n") == [
        "## The Ferry", "  - fast\n  - safe", "Notes: Smile.",
        "## Slide 2", "loose text", "| a | b |\n| --- | --- |\n| a | b |",
    ]  # fmt: skip
    assert found.title == "The Ferry" and found.metadata == {"slides": "2"}
    assert found.notes == ("1 hidden slide left out", "charts and diagrams of 1 slide left out")


def refusal(path: Path) -> str:
    with pytest.raises(Unreadable) as caught:
        word.extract(str(path))
    return str(caught.value)


def test_damaged_and_encrypted_files_say_so(tmp_path: Path) -> None:
    path = tmp_path / "a.docx"
    path.write_bytes(packages.OLE + b"rest")
    assert refusal(path).startswith(
        "encrypted, or of an old version of Office; remove the password"
    )
    path.write_bytes(b"PK\x03\x04 cut")
    assert refusal(path).startswith("damaged, or no Word file (.docx)")
    assert "names no main part" in refusal(archive(path, {"a.txt": "text"}))
    whole = docx(path, p("text")).read_bytes()
    path.write_bytes(whole.replace(b"word/document.xml", b"word/dokument.xml"))
    assert refusal(path).startswith("damaged")


def test_a_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "MOST_BYTES", 1 << 20)
    path = docx(tmp_path / "a.docx", " " * (4 << 20))
    assert path.stat().st_size < 20_000
    assert refusal(path) == "it unpacks to more than 1.0 MB"


def test_entities_and_deep_xml_are_refused(tmp_path: Path) -> None:
    laughs = '<!DOCTYPE x [<!ENTITY a "ha">]><x>&a;</x>'
    with zipfile.ZipFile(docx(tmp_path / "a.docx", ""), "a") as file:
        names = file.namelist()
    assert "word/document.xml" in names
    path = archive(
        tmp_path / "b.docx",
        {"_rels/.rels": relations(officeDocument="d.xml"), "d.xml": laughs.encode("utf-16")},
    )
    assert "declares entities" in refusal(path)
    deep = docx(tmp_path / "c.docx", "<w:x>" * 5000 + "</w:x>" * 5000)
    assert "nested more than 400 deep" in refusal(deep)
