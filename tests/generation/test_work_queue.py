"""What is left of a plan: complete, in order, lazy, in the same batches whatever was done."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import given, settings
from hypothesis import strategies as st
from toy import TINY, ToyPairs, completion, entities_json, first_call, toy_call, toy_recipe, view_of

from steep.core.calls import Call
from steep.documents.document import Document
from steep.generation.plan import PlanView
from steep.generation.work_queue import (
    DocumentQueue,
    FlatQueue,
    Group,
    assign,
    document_work,
    missing,
    prefix_of,
    preparing_round,
    turn_sizes,
    turns,
)
from steep.ledger.ledger import Ledger
from steep.ledger.records import Entry, Slot
from steep.recipes.recipe import Answers, Recipe, Repeated

RECIPE = toy_recipe(pairs=6)
DOCUMENTS = tuple(Document(f"d{n}", f"Title {n}", f"Text {n}.") for n in range(4))
ENTITIES = entities_json("Ada", "Bo", "Cy", "Di")


def opened(path: Path) -> Ledger:
    ledger = Ledger(path)
    first = preparing_round(view_of(DOCUMENTS, RECIPE, ledger))
    ledger.record([Entry(p.call, completion(p.call, ENTITIES)) for p in first])
    return ledger


def planned(ledger: Ledger, document: Document) -> list[tuple[Call, Slot]]:
    view = view_of(DOCUMENTS, RECIPE, ledger)
    (texts,) = view.texts(RECIPE, document) or ()
    calls = view.calls(texts)
    return [(calls[rank], Slot(calls.key, rank)) for rank in range(texts.number)]


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
        assert [each.call.id for each in missing(view_of(DOCUMENTS, RECIPE, ledger))] == expected
        # What was found by its content has its slot now.
        filled = sum(ledger.finished(slot.sequence, 6) for _, slot in plan[::6])
        assert filled == len(done)


@settings(max_examples=30, deadline=None)
@given(size=st.integers(1, 9), whole=st.sets(st.integers(0, 23)))
def test_batches_depend_on_the_plan_alone(size: int, whole: set[int]) -> None:
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder) / "l.db") as ledger:

        def batches() -> list[list[str]]:
            works = document_work(view_of(DOCUMENTS, RECIPE, ledger), DOCUMENTS)
            queue = FlatQueue((work.load() for work in works), size)
            return [[each.call.id for each in group] for group in groups_of(queue)]

        before = batches()
        assert [len(batch) for batch in before[:-1]] == [size] * (len(before) - 1)
        plan = [pair for document in DOCUMENTS for pair in planned(ledger, document)]
        recorded = [n for n in range(24) if n // size in whole]
        entries = [Entry(plan[n][0], completion(plan[n][0]), plan[n][1]) for n in recorded]
        ledger.record(entries)
        left = [batch for n, batch in enumerate(before) if n not in whole]
        assert batches() == left


LENGTHS = st.lists(st.integers(1, 400), min_size=1, max_size=12)


@settings(max_examples=50, deadline=None)
@given(lengths=LENGTHS, pairs=st.integers(1, 500))
def test_documents_take_turns_in_proportion_to_their_lengths(
    lengths: list[int], pairs: int
) -> None:
    """After any number of calls, each document has its share of them, or all of its own."""
    documents = tuple(Document(f"d{n}", "T", "x" * size) for n, size in enumerate(lengths))
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "l.db") as ledger:
        recipe = Recipe("toy", (Fixed("toy", pairs),))
        view = view_of(documents, recipe, ledger)
        sizes = turn_sizes(view)
        made: Counter[str] = Counter()
        position = 0
        for turn in turns(view, documents):
            assert turn.position == position and turn.start == made[turn.texts.document.id]
            made[turn.texts.document.id] = turn.stop
            position += turn.stop - turn.start
            laps = [made[each.id] / sizes[each.id] for each in documents if made[each.id] < pairs]
            assert not laps or max(laps) - min(laps) <= 1
        assert made == dict.fromkeys((each.id for each in documents), pairs)


@dataclass(frozen=True)
class Fixed(ToyPairs):
    """So many calls, whatever the document."""

    needs: ClassVar[tuple[str, ...]] = ()

    def calls(self, document: Document, answers: Answers) -> Any:
        return Repeated(
            lambda rank: toy_call(self.recipe, document, "pairs", (), rank, "tail"), self.pairs
        )


def test_recipes_take_turns_within_a_document_and_unwanted_ones_are_left_out(
    tmp_path: Path,
) -> None:
    with Ledger(tmp_path / "l.db") as ledger:
        recipes = [Recipe(name, (Fixed(name, 100),)) for name in ("one", "two")]
        view = PlanView(DOCUMENTS[:1], recipes, ledger)
        found = [(t.texts.recipe.name, t.start, t.stop) for t in turns(view, DOCUMENTS[:1])]
        assert found == [("one", 0, 64), ("two", 0, 64), ("one", 64, 100), ("two", 64, 100)]
        wanted = [
            (turn.texts.recipe.name, turn.position)
            for turn in turns(view, DOCUMENTS[:1], lambda recipe: recipe.name == "two")
        ]
        assert wanted == [("two", 64), ("two", 164)], "positions do not depend on what is wanted"


def test_a_call_that_waits_in_a_batch_is_not_missing(tmp_path: Path) -> None:
    from steep.ledger.records import SubmittedBatch

    with opened(tmp_path / "l.db") as ledger:
        first = next(missing(view_of(DOCUMENTS, RECIPE, ledger))).call
        ledger.submit(SubmittedBatch("t", "http://x", "preparing", 1, "2026-01-01"), [first])
        assert first.id not in {p.call.id for p in missing(view_of(DOCUMENTS, RECIPE, ledger))}
        ledger.ingest("t", [], [first.id])
        assert next(missing(view_of(DOCUMENTS, RECIPE, ledger))).call.id == first.id


def test_one_call_warms_a_prefix_and_the_next_document_is_warmed_before_the_last_ends(
    tmp_path: Path,
) -> None:
    with opened(tmp_path / "l.db") as ledger:
        queue = DocumentQueue(document_work(view_of(DOCUMENTS, RECIPE, ledger), DOCUMENTS), 4)
        (warming,) = queue.next() or []
        assert queue.next() is None, "the others wait for the first"
        queue.completed([warming])
        sent = [warming]
        while (group := queue.next()) is not None and len(sent) < 9:
            sent += group
        documents = [each.call.document_id for each in sent]
        assert documents == ["d0", "d0", "d0", "d1", "d0", "d0", "d0"]


def test_a_prefix_is_all_but_the_last_part() -> None:
    call = first_call(RECIPE, TINY[0])
    system, user = call.messages
    other = replace(call, messages=(system, replace(user, parts=(user.parts[0], "else"))))
    assert prefix_of(call) == prefix_of(other)
    assert prefix_of(call) != prefix_of(replace(call, messages=(system, system)))


def test_a_plan_is_read_a_turn_at_a_time(tmp_path: Path) -> None:
    built: list[int] = []

    class Counted(Repeated):
        def __getitem__(self, rank: Any) -> Any:
            built.append(rank)
            return super().__getitem__(rank)

    class Long(Fixed):
        def calls(self, document: Document, answers: Answers) -> Any:
            calls = super().calls(document, answers)
            return Counted(calls._make, 10_000_000)

    with Ledger(tmp_path / "l.db") as ledger:
        recipe = Recipe("toy", (Long("toy", 1),))
        first = next(missing(view_of(DOCUMENTS[:1], recipe, ledger)))
        assert first.slot is not None and first.slot.rank == 0
        assert len(built) == 64


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
