"""The origin of a passage: its documents, and the call or the import behind it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from steep.cli.trace_lines import of_text
from steep.core.calls import Call, Completion, Message, Sampling, Usage
from steep.core.errors import UserError
from steep.core.files import write_rows
from steep.corpus.build import build_corpus
from steep.corpus.config import CorpusConfig
from steep.corpus.passage import Candidate, Passage
from steep.corpus.trace import find_passages, read_passage, trace_passage
from steep.documents.document import Document
from steep.ledger.ledger import Ledger
from steep.ledger.records import Entry, ImportedText
from steep.stages.trace import TextTrace, TextTraces

TEXT = "The ferry of Quillon crosses the wide lake twice on every single day."
TWINS = (
    Document("a", "First", "Both documents say just this one thing.", source="a.md"),
    Document("b", "Second", "Both documents say just this one thing.", source="b.md"),
)


def recorded(ledger: Ledger, document_id: str) -> Call:
    messages = (Message("user", ("The document.", "Write about the ferry.")),)
    sampling = Sampling(max_tokens=99)
    call = Call("pairs", "texts", document_id, ("ferry",), 0, "m", messages, sampling)
    answer = Completion(call.id, TEXT, "stop", Usage(20, 5, 10), 0.25, 1.5, "http://x/v1", 1)
    ledger.record([Entry(call, answer)])
    return call


def test_documents_that_share_a_call_are_both_named(ledger: Ledger) -> None:
    call = recorded(ledger, "a")
    candidates = [Candidate(TEXT, each.id, call.id, "pairs", ("ferry",)) for each in TWINS]
    passages: list[Passage] = []
    build_corpus(TWINS, candidates, CorpusConfig(), passages.append, lambda row: None)
    own, shared = passages[-2:]
    assert shared.id == f"{call.id}@b"
    trace = trace_passage(shared, TWINS, ledger)
    assert [(each.id, each.source) for each in trace.documents] == [("b", "b.md"), ("a", "a.md")]
    assert trace.call is not None and trace.call.completion.usage == Usage(20, 5, 10)
    assert (trace.messages, trace.call.completion.cost_usd) == (call.messages, 0.25)
    assert trace.parameters["max_tokens"] == 99 and not trace.is_imported
    assert [each.id for each in trace_passage(own, TWINS, ledger).documents] == ["a"]


def test_a_call_about_a_part_names_it_and_a_raw_text_has_no_call(ledger: Ledger) -> None:
    call = recorded(ledger, "long#02")
    part = {"part_of": "long"}
    parts = [Document(f"long#0{n}", "Long", "Text.", source="l.md", metadata=part) for n in (1, 2)]
    passage = Passage(call.id, TEXT, "long", call.id, 0, "pairs", ("ferry",), 12)
    trace = trace_passage(passage, parts, ledger)
    assert [each.id for each in trace.documents] == ["long", "long#02"]
    assert {(each.title, each.source) for each in trace.documents} == {("Long", "l.md")}
    raw = trace_passage(Passage("documents:a", TEXT, "a", None, 0, "documents", (), 12), (), ledger)
    assert raw.call is None and raw.messages == () and raw.documents[0].title == ""


def test_a_part_has_the_titles_above_it(ledger: Ledger) -> None:
    call = recorded(ledger, "long#02")
    metadata = {"part_of": "long", "title_path": "3 Leave > 3.2 Parents"}
    part = Document("long#02", "Long", "Text.", source="l.md", metadata=metadata)
    passage = Passage(call.id, TEXT, "long", call.id, 0, "pairs", ("ferry",), 12)
    trace = trace_passage(passage, [part], ledger)
    assert [each.title for each in trace.documents] == ["Long", "Long > 3 Leave > 3.2 Parents"]
    shown = list(of_text(TextTraces(None, "corpus", 1, (TextTrace(trace, False, None),)), False))
    assert "  the call names long#02: the part that it was made for (l.md)" in shown
    assert "  its title: Long > 3 Leave > 3.2 Parents" in shown


def test_an_imported_text_tells_its_file(ledger: Ledger) -> None:
    text = ImportedText("a", "pairs", "gpt", 3, TEXT, source="texts.jsonl:7")
    ledger.record_imported([text])
    passage = Passage(text.id, TEXT, "a", text.id, 0, "pairs", (), 12)
    trace = trace_passage(passage, TWINS, ledger)
    assert trace.is_imported and trace.imported_from == "texts.jsonl:7"
    assert trace.messages == () and trace.parameters == {}
    assert trace.call is not None and (trace.call.model, trace.call.sample) == ("gpt", 3)


def test_a_row_is_read_from_any_row_group(tmp_path: Path) -> None:
    rows = [Passage(str(n), f"text {n}", "a", None, n, "documents", ("x",), 2) for n in range(700)]
    write_rows(tmp_path / "whole.parquet", rows, Passage)
    table = pq.ParquetFile(tmp_path / "whole.parquet").read()
    assert isinstance(table, pa.Table)
    pq.write_table(table, tmp_path / "groups.parquet", row_group_size=300)
    for name in ("whole.parquet", "groups.parquet"):
        for row in (0, 255, 256, 299, 300, 650, 699):
            assert read_passage(tmp_path / name, row) == rows[row]


def test_words_are_found_whatever_their_case_and_spaces(tmp_path: Path) -> None:
    texts = [
        "The *Ferry*\ncrosses  it",
        "a ferry cross",
        "ferry, crosses",
        "Über die FÄHRE",
        "湖船",
    ]
    rows = [Passage(str(n), each, "a", None, n, "x", (), 2) for n, each in enumerate(texts)]
    write_rows(path := tmp_path / "passages.parquet", rows, Passage)
    assert find_passages(path, "FERRY crosses", 5) == ((0, 2), 2)
    assert find_passages(path, "ferry  CROSSES", 1) == ((0,), 2)
    assert find_passages(path, "die fähre", 5) == ((3,), 1)
    assert find_passages(path, "船", 5) == ((4,), 1)
    assert find_passages(path, "ferry crosses the", 5) == ((), 0)
    with pytest.raises(UserError, match="no word"):
        find_passages(path, " ... ", 5)
