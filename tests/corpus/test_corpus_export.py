"""Files of an exported corpus, and texts that were passages before."""

from __future__ import annotations

from pathlib import Path

import pytest

from steep.core.files import read_rows, write_rows
from steep.corpus import export
from steep.corpus.build import build_corpus
from steep.corpus.config import CorpusConfig
from steep.corpus.export import ExportedPassage, public_name, write_data
from steep.corpus.passage import Candidate, Passage
from steep.documents.document import Document
from steep.ledger.ledger import Ledger
from steep.ledger.records import ImportedText


def test_files_are_of_one_recipe_and_of_limited_size(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "FILE_CHARACTERS", 300)
    texts = [
        ImportedText("a", "one" if n < 7 else "two", "m", n, f"{n} " * 50, subset=(f"é{n}",))
        for n in range(9)
    ]
    ledger.record_imported(texts)
    raw = Passage("documents:a", "Raw.", "a", None, 0, "documents", (), 1)
    rows = [
        Passage(each.id, each.text, "a", each.id, n, each.recipe, each.subset, 50)
        for n, each in enumerate(texts)
    ]
    write_rows(path := tmp_path / "passages.parquet", [raw, *rows], Passage)
    totals = write_data(tmp_path / "out", path, ledger)
    files = sorted((tmp_path / "out/data").iterdir())
    assert [file.name for file in files] == [f"train-0000{n}-of-00004.parquet" for n in range(4)]
    assert [f"data/{file.name}" for file in files] == [
        name for own in totals.values() for name in own.files
    ]
    found = [read_rows(file, ExportedPassage) for file in files]
    assert [len(each) for each in found] == [3, 3, 1, 2]
    written = [row for each in found for row in each]
    assert [(row.text, row.subset) for row in written] == [(r.text, r.subset) for r in rows]
    assert {len({row.recipe for row in each}) for each in found} == {1}
    assert (totals["one"].passages, totals["two"].words) == (7, 100)
    assert totals["one"].unpriced == 7 and totals["one"].models == {"m"}
    again = write_data(tmp_path / "out", path, ledger)
    assert again == totals and sorted((tmp_path / "out").iterdir()) == [tmp_path / "out/data"]


@pytest.mark.parametrize(
    ("name", "public"),
    [("/home/me/llama", "llama"), ("./own", "own"), ("owner/name", "owner/name"), ("gpt", "gpt")],
)
def test_a_model_is_named_without_its_path(name: str, public: str) -> None:
    assert public_name(name) == public


def test_the_text_of_an_imported_passage_stays_as_it_is() -> None:
    text = "Certainly!\n\nHere is a text:\n\nThe ferry of Quillon crosses the wide lake every day."
    document = Document("a", "Ferry", "A ferry crosses the lake each day of the whole long year.")
    for is_passage in (True, False):
        candidate = Candidate(text, "a", "c@a", "told", is_passage=is_passage)
        found: list[Passage] = []
        build_corpus([document], [candidate], CorpusConfig(), found.append, lambda row: None)
        assert (found[-1].text == text) == is_passage
