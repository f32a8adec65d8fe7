"""What is left of a plan: complete, in order, lazy, in the same batches whatever was done."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from toy import TINY, ToyRecipe, completion, entities_json

from steep.core.calls import Call
from steep.documents.document import Document
from steep.generation.plan import counted_calls
from steep.generation.work_queue import (
    DocumentQueue,
    FlatQueue,
    Group,
    assign,
    document_work,
    missing,
    opening_round,
    prefix_of,
)
from steep.ledger.ledger import Ledger
from steep.ledger.records import Entry, Slot

RECIPE = ToyRecipe(pairs=6)
DOCUMENTS = tuple(Document(f"d{n}", f"Title {n}", f"Text {n}.") for n in range(4))
ENTITIES = entities_json("Ada", "Bo", "Cy", "Di")


def opened(path: Path) -> Ledger:
    ledger = Ledger(path)
    openings = opening_round(DOCUMENTS, RECIPE, ledger)
    ledger.record([Entry(p.call, completion(p.call, ENTITIES)) for p in openings])
    return ledger


def planned(ledger: Ledger, document: Document) -> list[tuple[Call, Slot]]:
    calls, below = counted_calls(document, RECIPE, ledger)
    return [(calls[rank], Slot(calls.key, rank)) for rank in range(below)]


def groups_of(queue: FlatQueue | DocumentQueue) -> Iterator[Group]:
    while (group := queue.next()) is not None:
        if group:
            yield group
            queue.completed(group)


@settings(max_examples=30, deadline=None)
@given(done=st.sets(st.integers(0, 23)), unslotted=st.sets(st.integers(0, 23)))
def test_what_is_missing_is_the_plan_less_what_is_done(done: set[int], unslotted: set[int]) -> None:
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder) / "l.db") as ledger:
        plan = [pair for document in DOCUMENTS for pair in planned(ledger, document)]
        assert len(plan) == 24
        ledger.record(
            [
                Entry(call, completion(call), None if n in unslotted else slot)
                for n, (call, slot) in enumerate(plan)
                if n in done
            ]
        )
        expected = [call.id for n, (call, _) in enumerate(plan) if n not in done]
        assert [each.call.id for each in missing(DOCUMENTS, RECIPE, ledger)] == expected
        # What was found by its content has its slot now.
        filled = sum(ledger.finished(slot.sequence, 6) for _, slot in plan[::6])
        assert filled == len(done)


@settings(max_examples=30, deadline=None)
@given(size=st.integers(1, 9), whole=st.sets(st.integers(0, 23)))
def test_batches_depend_on_the_plan_alone(size: int, whole: set[int]) -> None:
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder) / "l.db") as ledger:

        def batches() -> list[list[str]]:
            works = document_work(DOCUMENTS, RECIPE, ledger)
            queue = FlatQueue((chunk for work in works for chunk in work.chunks), size)
            return [[each.call.id for each in group] for group in groups_of(queue)]

        before = batches()
        assert [len(batch) for batch in before[:-1]] == [size] * (len(before) - 1)
        plan = [pair for document in DOCUMENTS for pair in planned(ledger, document)]
        recorded = [n for n in range(24) if n // size in whole]
        entries = [Entry(plan[n][0], completion(plan[n][0]), plan[n][1]) for n in recorded]
        ledger.record(entries)
        left = [batch for n, batch in enumerate(before) if n not in whole]
        assert batches() == left


def test_a_share_takes_the_first_calls_of_each_document(tmp_path: Path) -> None:
    with opened(tmp_path / "l.db") as ledger:
        found = list(missing(DOCUMENTS, RECIPE, ledger, {"d0": 2, "d2": 99}))
        ranks = [(p.call.document_id, p.slot.rank) for p in found if p.slot]
        assert ranks == [("d0", 0), ("d0", 1), *(("d2", n) for n in range(6))]
        assert [p.position for p in found] == [0, 1, *range(2, 8)]


def test_a_call_that_waits_in_a_batch_is_not_missing(tmp_path: Path) -> None:
    from steep.ledger.records import SubmittedBatch

    with opened(tmp_path / "l.db") as ledger:
        first = next(missing(DOCUMENTS, RECIPE, ledger)).call
        ledger.submit(SubmittedBatch("t", "http://x", "preparing", 1, "2026-01-01"), [first])
        assert first.id not in {p.call.id for p in missing(DOCUMENTS, RECIPE, ledger)}
        ledger.ingest("t", [], [first.id])
        assert next(missing(DOCUMENTS, RECIPE, ledger)).call.id == first.id


def test_one_call_warms_a_prefix_and_the_next_document_is_warmed_before_the_last_ends(
    tmp_path: Path,
) -> None:
    with opened(tmp_path / "l.db") as ledger:
        queue = DocumentQueue(document_work(DOCUMENTS, RECIPE, ledger), 4)
        (warming,) = queue.next() or []
        assert queue.next() is None, "the others wait for the first"
        queue.completed([warming])
        sent = [warming]
        while (group := queue.next()) is not None and len(sent) < 9:
            sent += group
        documents = [each.call.document_id for each in sent]
        assert documents == ["d0", "d0", "d0", "d1", "d0", "d0", "d0"]


def test_a_prefix_is_all_but_the_last_part() -> None:
    opening = ToyRecipe().opening(TINY[0], [])
    assert opening is not None
    system, user = opening.messages
    other = replace(opening, messages=(system, replace(user, parts=(user.parts[0], "else"))))
    assert prefix_of(opening) == prefix_of(other)
    assert prefix_of(opening) != prefix_of(replace(opening, messages=(system, system)))


def test_a_plan_is_read_a_stretch_at_a_time(tmp_path: Path) -> None:
    built: list[int] = []

    class Endless(tuple[Call, ...]):
        key = "endless"

        def __len__(self) -> int:
            return 10_000_000

        def __getitem__(self, rank: Any) -> Any:
            built.append(rank)
            return replace(TEMPLATE, sample=rank)

    @dataclass(frozen=True)
    class Long(ToyRecipe):
        def calls(self, document: Document, texts: Any) -> Any:
            return Endless()

    with opened(tmp_path / "l.db") as ledger:
        first = next(missing(DOCUMENTS[:1], Long(), ledger))
        assert first.slot == Slot("endless", 0)
        assert len(built) == 256


TEMPLATE = ToyRecipe()._call(DOCUMENTS[0], "pair", ("a", "b"), 0, "tail")


@given(lengths=st.lists(st.integers(1, 500), max_size=40), workers=st.integers(1, 5))
def test_documents_are_divided_once_and_evenly(lengths: list[int], workers: int) -> None:
    documents = [Document(f"d{n}", "T", "x" * length) for n, length in enumerate(lengths)]
    shares = assign(documents, workers)
    assert sorted(d.id for share in shares for d in share) == sorted(d.id for d in documents)
    loads = [sum(len(document.text) for document in share) for share in shares]
    assert max(loads) - min(loads) <= max(lengths, default=0)
    assert (
        assign(documents[:-1], workers)
        == [[document for document in share if document is not documents[-1]] for share in shares]
        or not documents
    )
