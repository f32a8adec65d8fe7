from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from steep.core.errors import UserError
from steep.documents.document import reason_lines
from steep.documents.reading import read_documents


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def jsonl(*records: Any) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def test_reads_a_folder_recursively_in_order_and_leaves_hidden_files(tmp_path: Path) -> None:
    write(tmp_path, b_txt="Bee\n\nHums.", a_md="# Ant\n\nWalks.", sub__c_txt="Cat\n\nSleeps.")
    (tmp_path / ".secret.txt").write_text("not a document")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "notes.txt").write_text("not a document")
    reading = read_documents(tmp_path)
    assert [document.id for document in reading.documents] == ["a", "b", "sub/c"]
    assert [document.title for document in reading.documents] == ["Ant", "Bee", "Cat"]
    assert [document.source for document in reading.documents] == ["a.md", "b.txt", "sub/c.txt"]
    assert (reading.files, reading.skipped) == (3, ())


def test_files_that_differ_only_in_suffix_keep_it_in_their_id(tmp_path: Path) -> None:
    write(tmp_path, pump_md="# Pump", pump_txt="Pump", other_txt="Other")
    ids = [document.id for document in read_documents(tmp_path).documents]
    assert ids == ["other", "pump.md", "pump.txt"]


def test_a_single_file_is_named_by_its_stem(tmp_path: Path) -> None:
    write(tmp_path, harbour_txt="The harbour was dug in 1811 and has silted up twice since then.")
    (document,) = read_documents(tmp_path / "harbour.txt").documents
    assert (document.id, document.title) == ("harbour", "harbour")


def test_plain_text_keeps_its_lines_and_loses_only_control_characters(tmp_path: Path) -> None:
    text = "\ufeffThe Old Mill\r\n\r\n  Line one\r\nline\x00 two\x0cnext page\r"
    (tmp_path / "mill.txt").write_bytes(text.encode())
    (document,) = read_documents(tmp_path).documents
    assert document.text == "The Old Mill\n\n  Line one\nline two\nnext page"
    assert document.title == "The Old Mill"


@pytest.mark.parametrize(
    ("text", "title", "start"),
    [
        ("Intro line.\n\n## The *Second* [Part](x.md) ##\nText.", "The Second Part", "Intro"),
        ("---\ntitle: 'Salt'\ntags:\n  - sea\n---\n\n# Other\n\nText.", "Salt", "# Other"),
        ("---\nlayout: post\n---\n# Salt Road\n\nText.", "Salt Road", "# Salt Road"),
        ("---\n\nA rule, then prose without a key.\n\n---\n\nMore.", "page", "---"),
        ("```\n# a comment\n```\n\n# Heading\n", "Heading", "```"),
        ("---\ntitle: >-\n  The Old\n  Candle\n---\nText.", "The Old Candle", "Text."),
        ("---\nTitle: 'It''s' # a draft\nday made: 1\n---\nText.", "It's", "Text."),
        ("---\ntitle: Salt: a story\n---\nText.", "Salt: a story", "Text."),
        ("---\n---\n# Empty front\n", "Empty front", "# Empty"),
        ('+++\ntitle = "The Lens"\n+++\n\nText.', "The Lens", "Text."),
        ("The Eel\n=======\n\nIt hides.", "The Eel", "The Eel"),
        ("Intro.\n\nThe Heron\n---\n\nIt fishes.", "The Heron", "Intro."),
        ("<!-- # Old -->\n<!--\n# Older\n-->\n# New", "New", "<!--"),
        ("    # a comment in code\n\n# Heading", "Heading", "# a comment"),
        ("| a |\n|---|\n| b |\n", "page", "| a"),
        ("Only one line of text", "Only one line of text", "Only"),
        ("A first line of prose, which ends as prose does,\nand goes on.", "page", "A first"),
    ],
)
def test_markdown_title_is_found_and_the_text_kept(
    tmp_path: Path, text: str, title: str, start: str
) -> None:
    write(tmp_path, page_md=text)
    (document,) = read_documents(tmp_path).documents
    assert document.title == title
    assert document.text.startswith(start)


def test_jsonl_gives_a_document_a_line_with_its_own_id(tmp_path: Path) -> None:
    write(
        tmp_path,
        all_jsonl=jsonl(
            {"id": 7, "title": "Heron\n", "text": "It fishes.\u2028At dawn."},
            {"id": "x", "title": "Eel", "text": "It hides.", "author": "Lorn, Hedda", "year": 1920},
        ),
    )
    first, second = read_documents(tmp_path).documents
    assert (first.id, first.title, first.text) == ("7", "Heron", "It fishes.\nAt dawn.")
    assert first.source == "all.jsonl:1"
    assert second.heading == '"Eel", Hedda Lorn, 1920.'


def test_front_matter_gives_author_and_year(tmp_path: Path) -> None:
    write(
        tmp_path,
        a_md="---\nauthors:\n- name: Hedda Lorn\n- Emil Osk\ndate: 1920-03-01\n---\nText.",
        b_md='+++\nauthor = "Lorn, Hedda"\ndate = 1921-04-02\n+++\nText.',
        c_md="---\nauthor: Sofia\ndate: soon\n---\nText.",
    )
    reading = read_documents(tmp_path)
    assert [(each.author, each.year) for each in reading.documents] == [
        ("Hedda Lorn and Emil Osk", 1920),
        ("Lorn, Hedda", 1921),
        ("Sofia", None),
    ]
    (skipped,) = reading.skipped
    assert (skipped.source, skipped.reason[:35]) == ("c.md", "the document is kept without its ye")


def test_a_title_or_author_of_another_form_costs_no_document(tmp_path: Path) -> None:
    write(
        tmp_path,
        all_jsonl=jsonl(
            {"id": "a", "title": " ", "text": "The Heron\n\nIt fishes."},
            {"id": "b", "title": ["The", "Eel"], "text": "It hides."},
            {"id": "c", "title": "C", "text": "It sings.", "author": ["Hedda Lorn", "Emil Osk"]},
            {"id": "d", "title": "D", "text": "It flies.", "author": {"name": "Sofia"}},
        ),
    )
    reading = read_documents(tmp_path)
    assert [(each.title, each.author) for each in reading.documents] == [
        ("The Heron", None),
        ("b", None),
        ("C", "Hedda Lorn and Emil Osk"),
        ("D", "Sofia"),
    ]
    (skipped,) = reading.skipped
    assert skipped.source == "all.jsonl:2"
    assert "kept without its title" in skipped.reason


def test_what_pandas_makes_of_columns_with_gaps_is_understood(tmp_path: Path) -> None:
    nan = float("nan")
    write(
        tmp_path,
        all_jsonl=jsonl(
            {"id": 7.0, "title": 8.0, "text": "It fishes.", "author": nan, "year": 1961.0},
            {"id": 8, "title": nan, "text": "The Eel\n\nIt hides.", "year": nan},
            {"id": 9, "text": "It sings.", "year": "c. 1902"},
            {"id": 10, "title": "T", "text": "It flies.", "year": "--5"},
            {"id": nan, "title": "T", "text": "It runs."},
            {"id": True, "title": "T", "text": "It rests."},
        ),
    )
    reading = read_documents(tmp_path)
    made_up = reading.documents[-1].id
    assert made_up.startswith("all-")
    assert [(each.id, each.title, each.year) for each in reading.documents] == [
        ("7", "8", 1961),
        ("8", "The Eel", None),
        ("9", "9", 1902),
        ("10", "T", None),
        (made_up, "T", None),
    ]
    skipped = [(row.source, row.kept) for row in reading.skipped]
    assert skipped == [("all.jsonl:6", False), ("all.jsonl:4", True), ("all.jsonl:5", True)]


def test_a_bad_byte_or_a_deep_nesting_costs_one_line(tmp_path: Path) -> None:
    good = '{"id": "a", "title": "Ä", "text": "Drei Möwen sah er öfter über Büsten."}'.encode()
    bad = good.replace(b"Drei", b"Drei\x92").replace(b'"a"', b'"b"')
    deep = b'{"a":' * 50_000
    (tmp_path / "all.jsonl").write_bytes(b"\n".join([deep, bad, good]))
    (tmp_path / "deep.dev").write_bytes(deep)
    reading = read_documents(tmp_path)
    assert [document.id for document in reading.documents] == ["a"]
    reasons = {row.source: row.reason for row in reading.skipped}
    assert reasons.keys() == {"all.jsonl:1", "all.jsonl:2", "deep.dev"}
    assert "byte 0x92" in reasons["all.jsonl:2"]
    assert "WINDOWS-1252" in reasons["all.jsonl:2"]


def test_odd_file_names_and_links_are_no_accident(tmp_path: Path) -> None:
    (tmp_path / "good.md").write_text("Text.")
    (tmp_path / "two\nlines.txt").write_text("Text.")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")).write_text("Text.")
    (tmp_path / "self.md").symlink_to("self.md")
    (tmp_path / "up").symlink_to("..")
    os.mkfifo(tmp_path / "pipe.txt")
    reading = read_documents(tmp_path)
    assert sorted(each.id for each in reading.documents) == ["caf\\xe9", "good", "two\\nlines"]
    assert {each.source for each in reading.skipped} == {"self.md", "up", "pipe.txt"}


def test_unknown_kinds_name_the_command_that_converts_once_for_all_files(tmp_path: Path) -> None:
    write(tmp_path, good_txt="Text.", a_rtf="%x", b_RTF="%x", c_jpg="x")
    (tmp_path / "Makefile").write_text("all:")
    assert reason_lines(read_documents(tmp_path).skipped) == [
        "skipped Makefile: a name without a suffix",
        "skipped a.rtf and 1 more: unknown kind '.rtf'; convert it: pandoc IN.rtf -t gfm -o OUT.md",
        "skipped c.jpg: unknown kind '.jpg'",
    ]


def test_bad_lines_are_named_and_the_good_ones_kept(tmp_path: Path) -> None:
    good = {"id": "good", "title": "Good", "text": "Text."}
    lines = [
        json.dumps(good),
        "{not json",
        "",
        "[1, 2]",
        json.dumps({"id": "a", "title": "A"}),
        json.dumps({"id": "a", "title": "A", "text": "  "}),
        json.dumps({**good, "id": "b", "year": "soon"}),
        json.dumps({**good, "id": "c", "author": 12}),
        json.dumps({**good, "text": "Other."}),
    ]
    write(tmp_path, all_jsonl="\n".join(lines))
    reading = read_documents(tmp_path)
    assert [document.id for document in reading.documents] == ["good", "b", "c"]
    assert [(skipped.source, skipped.kept) for skipped in reading.skipped] == [
        *((f"all.jsonl:{line}", False) for line in (2, 4, 5, 6, 9)),
        *((f"all.jsonl:{line}", True) for line in (7, 8)),
    ]
    assert reading.left_out == 5
    reasons = [skipped.reason for skipped in reading.skipped]
    assert reasons[2].startswith("expected the key 'text', found id, title; name the column")
    assert reasons[4] == "id 'good' is already that of all.jsonl:1"
    assert reasons[5].startswith("the document is kept without its year")
    assert "'year', found 'soon'" in reasons[5]
    assert "without its author" in reasons[6]


def test_a_jsonl_of_another_kind_is_one_line_in_the_list_of_skipped(tmp_path: Path) -> None:
    questions = [{"id": str(n), "question": "Who?", "answers": ["Osk"]} for n in range(50)]
    write(tmp_path, questions_jsonl=jsonl(*questions), a_txt="Text.")
    (skipped,) = read_documents(tmp_path).skipped
    assert skipped.source == "questions.jsonl"
    assert skipped.reason.startswith("none of its 50 records is a document")


def test_what_cannot_be_read_is_named_and_does_not_stop_the_rest(tmp_path: Path) -> None:
    write(tmp_path, good_txt="Good text.", blank_txt=" \n", page_rst="Hello")
    (tmp_path / "odd.txt").write_bytes(bytes(range(128, 256)))
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nowhere.txt")
    reading = read_documents(tmp_path)
    assert [document.id for document in reading.documents] == ["good"]
    assert reading.files == 5
    reasons = {skipped.source: skipped.reason for skipped in reading.skipped}
    assert reasons["blank.txt"] == "the file is empty"
    assert reasons["odd.txt"] == (
        "not UTF-8: byte 0x80 at 0; save it as UTF-8, "
        "e.g. iconv -f WINDOWS-1252 -t UTF-8 odd.txt > odd-utf8.txt"
    )
    assert "broken link" in reasons["gone.txt"]
    assert reasons["page.rst"].startswith("unknown kind '.rst'; convert it: pandoc")


def test_a_linked_folder_is_named_and_not_followed(tmp_path: Path) -> None:
    write(tmp_path, a_txt="Text.")
    (tmp_path / "again").symlink_to(tmp_path)
    reading = read_documents(tmp_path)
    assert [document.id for document in reading.documents] == ["a"]
    assert [row.source for row in reading.skipped] == ["again"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_forbidden_folder_is_named(tmp_path: Path) -> None:
    write(tmp_path, a_txt="Text.", closed__b_txt="Text.")
    (tmp_path / "closed").chmod(0)
    reading = read_documents(tmp_path)
    (tmp_path / "closed").chmod(0o700)
    assert [(row.source, row.reason) for row in reading.skipped] == [
        ("closed", "cannot be read: Permission denied")
    ]


def test_half_a_surrogate_pair_cannot_spoil_a_later_write(tmp_path: Path) -> None:
    (tmp_path / "all.jsonl").write_text('{"id": "a", "title": "A", "text": "odd \\ud83d end"}')
    (document,) = read_documents(tmp_path).documents
    assert document.text == "odd \N{REPLACEMENT CHARACTER} end"


@pytest.mark.parametrize("name", ["missing", "empty", "page.rst", "blank.txt"])
def test_nothing_to_read_is_the_users_mistake(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path, page_rst="Hello", blank_txt="")
    with pytest.raises(UserError) as caught:
        read_documents(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
