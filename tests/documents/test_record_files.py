"""JSON, JSON Lines, CSV and Parquet: which columns are read, and what a bad record costs."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from steep.core.errors import UserError
from steep.documents.config import ColumnsConfig
from steep.documents.document import Reading
from steep.documents.reading import read_documents

HERON = {"id": "heron", "title": "Heron", "text": "It fishes.", "year": 1920}
EEL = {"id": "eel", "title": "Eel", "text": "It hides, and sings.", "year": None}


def read(folder: Path, name: str, content: str | bytes, columns: Any = None) -> Reading:
    data = content.encode() if isinstance(content, str) else content
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)
    return read_documents(folder / name, ColumnsConfig(**columns) if columns else None)


def fields(reading: Reading) -> list[tuple[str, str, str, int | None]]:
    return [(each.id, each.title, each.text, each.year) for each in reading.documents]


BOTH = [("heron", "Heron", "It fishes.", 1920), ("eel", "Eel", "It hides, and sings.", None)]
QUOTED = 'id,title,text,year\nheron,Heron,It fishes.,1920\neel,Eel,"It hides, and sings.",\n'
SEMICOLONS = "id;title;text;year\nheron;Heron;It fishes.;1920\neel;Eel;It hides, and sings.\n"
BY_COLUMN = {key: [HERON[key], EEL[key]] for key in HERON}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", json.dumps([HERON, EEL])),
        ("a.json", json.dumps([HERON, EEL], indent=2)),
        ("a.json", json.dumps({"count": 2, "documents": [HERON, EEL], "tags": ["x"]})),
        ("a.json", json.dumps(BY_COLUMN)),
        ("a.json", json.dumps({k: dict(enumerate(v)) for k, v in BY_COLUMN.items()})),  # pandas
        ("a.json", json.dumps({"heron": HERON | {"id": "heron"}, "eel": EEL})),  # by name
        ("a.json", f"{json.dumps(HERON)}\n{json.dumps(EEL)}\n"),
        ("a.jsonl", f"{json.dumps(HERON)}\r\n\r\n{json.dumps(EEL)}"),
        ("a.ndjson", f"\n{json.dumps(HERON)}\n{json.dumps(EEL)}\n"),
        ("a.csv", QUOTED),
        ("a.csv", "\ufeff" + QUOTED.replace("\n", "\r")),
        ("a.csv", SEMICOLONS),
        ("a.csv", "sep=;\r\n" + SEMICOLONS.replace("\n", "\r\n")),
        ("a.tsv", SEMICOLONS.replace(";", "\t")),
        ("a.csv", SEMICOLONS.replace(";", "|").replace("\neel", "\n\neel")),
    ],
)
def test_every_common_form_of_a_table_gives_the_same_documents(
    tmp_path: Path, name: str, content: str
) -> None:
    reading = read(tmp_path, name, content)
    assert fields(reading) == BOTH
    assert (reading.skipped, reading.files) == ((), 1)


def test_one_object_is_one_document_and_texts_are_documents(tmp_path: Path) -> None:
    assert fields(read(tmp_path, "one.json", json.dumps(HERON))) == BOTH[:1]
    sections = [{"text": "of a section"}]
    report = read(tmp_path, "b/report.json", json.dumps({"text": "It hides.", "s": sections}))
    assert [(each.id, each.text) for each in report.documents] == [("report", "It hides.")]
    assert report.skipped == ()
    texts = read(tmp_path, "texts.json", json.dumps(["It fishes.", "It hides."]))
    assert [each.text for each in texts.documents] == ["It fishes.", "It hides."]


def test_parquet_reads_dates_lists_and_only_the_needed_columns(tmp_path: Path) -> None:
    table = pa.table(
        {
            "doc_id": [1, 2],
            "body": pa.array([["It fishes.", "It flies."], ["It hides."]]),
            "Date": [datetime.date(1920, 5, 1), None],
            "authors": [["Hedda Lorn", "Emil Osk"], []],
            "picture": pa.array([b"\xff", None]),
        }
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    reading = read_documents(tmp_path / "a.parquet")
    assert fields(reading) == [
        ("1", "1", "It fishes.\n\nIt flies.", 1920),
        ("2", "2", "It hides.", None),
    ]
    assert [each.author for each in reading.documents] == ["Hedda Lorn and Emil Osk", None]
    assert reading.documents[0].source == "a.parquet:1"
    (note,) = reading.skipped
    assert note.kept and "id from 'doc_id', text from 'body'" in note.reason


def test_columns_that_are_named_are_read_and_nothing_is_guessed(tmp_path: Path) -> None:
    rows = [{"url": "x/1", "q": "Who fishes?", "a": "The heron.", "text": "unused", "when": 1920}]
    columns = {"id": "url", "text": ("q", "a"), "year": "when", "title": "q"}
    reading = read(tmp_path, "a.json", json.dumps(rows), columns)
    assert fields(reading) == [("x/1", "Who fishes?", "Who fishes?\n\nThe heron.", 1920)]
    assert reading.skipped == ()


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_a_named_column_that_is_missing_says_which_there_are(tmp_path: Path, name: str) -> None:
    content = '{"id": 1, "text": "A"}' if name == "a.jsonl" else "id,text\n1,A\n"
    with pytest.raises(UserError) as caught:
        read(tmp_path, name, content, {"text": "body"})
    assert "expected the column 'body' (documents.columns.text), found id, text" in str(
        caught.value
    )


def test_a_missing_optional_column_costs_no_document_and_is_said_once(tmp_path: Path) -> None:
    rows = "".join(json.dumps({"id": n, "text": f"Text {n}."}) + "\n" for n in range(5))
    reading = read(tmp_path, "a.jsonl", rows, {"title": "headline"})
    assert len(reading.documents) == 5
    (note,) = reading.skipped
    assert (note.source, note.kept) == ("a.jsonl:1", True)
    assert "without its title" in note.reason and "(and 4 more like it)" in note.reason


def test_ids_and_titles_are_made_up_of_the_text_alone(tmp_path: Path) -> None:
    texts = ["The Heron\n\nIt fishes.", "it hides in the reeds " * 10, "It sings."]
    rows = [json.dumps({"text": text, "url": f"u{n}", "meta": {}}) for n, text in enumerate(texts)]
    first = read(tmp_path, "web.jsonl", "\n".join(rows))
    again = read(tmp_path, "web.jsonl", "\n".join(rows[::-1]))
    assert {each.id for each in first.documents} == {each.id for each in again.documents}
    assert all(each.id.startswith("web-") for each in first.documents)
    titles = [each.title for each in first.documents]
    assert titles[0] == "The Heron" and titles[2] == "It sings."
    assert titles[1].startswith("it hides in the reeds it") and len(titles[1]) <= 60
    (note,) = first.skipped
    assert note.kept and note.reason.startswith("there is no column of ids")


def test_the_same_text_without_ids_is_one_document_and_named(tmp_path: Path) -> None:
    row = json.dumps({"text": "It fishes."})
    reading = read(tmp_path, "web.jsonl", f"{row}\n{row}\n")
    assert len(reading.documents) == 1
    assert (reading.skipped[0].source, reading.skipped[0].reason) == (
        "web.jsonl:2",
        "the same text and id as web.jsonl:1",
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('[{"text": "A"}, {"text": "B"', "what follows is not read"),
        ('[{"text": "A"} {"text": "B"}]', "what follows is not read"),
        ('[{"text": "A"}, 7]', "expected a JSON object, found 7"),
        ('[{"text": "A"}, {"text": ""}]', "the text is empty"),
        ('[{"text": "A"}, {"text": {"b": 1}}]', "expected a text as 'text'"),
        ('[{"text": "A"}] and more', "what follows is not read"),
    ],
)
def test_a_mistake_in_an_array_costs_no_element_before_it(
    tmp_path: Path, content: str, reason: str
) -> None:
    reading = read(tmp_path, "a.json", content)
    assert [each.text for each in reading.documents] == ["A"]
    assert reading.left_out == 1 and reason in reading.skipped[0].reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "expected JSON"),
        ("7", "expected an array of objects"),
        ('{"a": [{"text": "A"}], "b": [{"text": "B"}]}', "several arrays: a, b"),
        ('{"text": ["A", "B"], "id": [1]}', "differ in length"),
        ('{"data": {"items": [{"text": "A"}]}}', "found an object with data"),
        ('{"name": "x", "scripts": {}}', "expected the key 'text', found name, scripts"),
        ("[]", "the file is empty"),
        ("[" * 100_000, "expected a JSON object"),
    ],
)
def test_json_of_another_form_says_what_was_found(
    tmp_path: Path, content: str, reason: str
) -> None:
    (tmp_path / "good.txt").write_text("Text.")
    (tmp_path / "a.json").write_text(content)
    (skipped,) = read_documents(tmp_path).skipped
    assert skipped.source.startswith("a.json")
    assert reason in skipped.reason


def test_quality_is_known_in_any_json(tmp_path: Path) -> None:
    story = {
        "article_id": "1", "title": "Eel", "author": "Osk", "article": "It hides.\n\nIt sings.",
        "questions": [],
    }  # fmt: skip
    for name, content in (("a.json", json.dumps(story, indent=1)), ("a.dev", json.dumps(story))):
        (document,) = read(tmp_path, name, content).documents
        assert (document.id, document.text) == ("1", "It hides.\n\nIt sings.")


def test_bad_rows_of_a_csv_are_named_by_line(tmp_path: Path) -> None:
    rows = ["id,text", 'a,"two\nlines"', "b,x,y", 'c,"x"y', "d,", "", "e,good", 'f,"open', "end"]
    reading = read(tmp_path, "a.csv", "\n".join(rows))
    assert [(each.id, each.text) for each in reading.documents] == [
        ("a", "two\nlines"),
        ("e", "good"),
    ]
    assert [each.source for each in reading.documents] == ["a.csv:2", "a.csv:8"]
    assert {each.source: each.reason.partition(":")[0] for each in reading.skipped} == {
        "a.csv:4": "expected 2 fields, found 3",
        "a.csv:5": "no row of CSV",
        "a.csv:6": "the text is empty",
        "a.csv:9": "no row of CSV",
    }


def test_csv_reads_long_fields_escaped_quotes_and_odd_headings(tmp_path: Path) -> None:
    long = "word " * 60_000
    content = f'id,,text,text\n1,x,"She said \\"no\\", twice.",z\n2,y,"{long}",z\n'
    first, second = read(tmp_path, "a.csv", content).documents
    assert first.text == 'She said "no", twice.'
    assert second.text == long.strip()


def test_a_table_without_a_text_says_its_columns(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path, "prices.csv", "item,price\nsalt,3\n")
    assert "found item, price; name the column of the text" in str(caught.value)
    parquet.write_table(pa.table({"price": [3]}), tmp_path / "prices.parquet")
    with pytest.raises(UserError, match="no readable document"):
        read_documents(tmp_path / "prices.parquet")


def test_a_broken_parquet_file_costs_no_other(tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("Text.")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and no more")
    reading = read_documents(tmp_path)
    assert [each.id for each in reading.documents] == ["good"]
    assert reading.skipped[0].reason.startswith("cannot be read as Parquet")


@pytest.mark.parametrize("suffix", ["txt", "md", "json", "jsonl", "csv", "tsv"])
@pytest.mark.parametrize("content", ["", " \n\t\n"])
def test_an_empty_file_says_so(tmp_path: Path, suffix: str, content: str) -> None:
    (tmp_path / "good.txt").write_text("Text.")
    (tmp_path / f"a.{suffix}").write_text(content)
    (skipped,) = read_documents(tmp_path).skipped
    assert (skipped.source, skipped.reason) == (f"a.{suffix}", "the file is empty")
