from __future__ import annotations

import os
import signal
from functools import partial
from itertools import count, islice
from operator import mul
from pathlib import Path

import pytest
from built import built

from steep.core.errors import UserError
from steep.core.files import read_rows, row_writer
from steep.corpus.passage import Candidate, Passage
from steep.corpus.workers import ordered_map
from steep.documents.document import Document

FERRY = Document("ferry", "The Marlin", "The Marlin is a ferry of Velmora with a silver bell.")
PUMP = Document("pump", "The pump", "The pump stands in the harbor wall of Velmora since 1920.")


def test_results_come_in_order_and_items_are_read_lazily() -> None:
    read = []

    def items() -> object:
        for number in count():
            read.append(number)
            yield number

    found = islice(ordered_map(partial(mul, 3), items(), 2), 5)  # type: ignore[arg-type]
    assert list(found) == [0, 3, 6, 9, 12]
    assert len(read) < 9


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_any_number_of_processes_gives_the_same_corpus(processes: int) -> None:
    texts = [
        f"In its year {n % 700} the ferry carried {n % 700 * 7} people and a silver bell."
        if n % 50
        else "Short."
        for n in range(1500)
    ]
    rows = [
        Candidate(text, ("ferry", "pump", "nobody")[n % 7 // 3], f"c{n}", "mine")
        for n, text in enumerate(texts)
    ]
    found, expected = (
        built([FERRY, PUMP], rows, None, processes),
        built([FERRY, PUMP], rows, None, 1),
    )
    assert found.passages == expected.passages and found.rejected == expected.rejected
    assert found.totals.counts == expected.totals.counts
    assert {"short", "duplicate", "unknown-document"} <= found.totals.reasons.keys()


def test_a_killed_process_is_an_error_that_says_so() -> None:
    with pytest.raises(UserError, match="worker process was killed"):
        list(ordered_map(partial(_kill_at, 3), range(9), 2))


def _kill_at(number: int, item: int) -> int:
    if item == number:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def test_an_exception_in_a_process_ends_the_map(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="exit status 1"):
        list(ordered_map(partial(mul, None), [1, 2], 2))
    assert "TypeError" in capfd.readouterr().err


def test_rows_are_written_in_groups_and_only_if_nothing_fails(tmp_path: Path) -> None:
    rows = [Passage(f"c{n}", "A text.", "a", None, n, "mine", ("b",), 2) for n in range(2500)]
    path = tmp_path / "passages.parquet"
    with pytest.raises(ZeroDivisionError), row_writer(path, Passage) as add:
        add(rows[0])
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    with row_writer(path, Passage) as add:
        for row in rows:
            add(row)
    assert read_rows(path, Passage) == rows
    with row_writer(path, Passage):
        pass
    assert read_rows(path, Passage) == []
