"""Recipes beyond EntiGraph: steps with many preparing calls, links across documents, plugins."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from toy import TINY, ToyClient, answer_everything, toy_call

from steep.core.calls import Call
from steep.core.errors import UserError
from steep.core.ranges import Range
from steep.documents.document import Document
from steep.generation.plan import PlanView
from steep.generation.scheduler import generate
from steep.generation.work_queue import preparing_rounds
from steep.ledger.endpoint_worker import EndpointWorker, RetryPolicy
from steep.ledger.ledger import Ledger
from steep.llm.prices import Prices
from steep.recipes.recipe import Answers, Recipe, Rejected, Repeated, Step
from steep.stages.corpus import candidates_of

FACTS = 7


@dataclass(frozen=True)
class Numbered(Step):
    """Asks `number` times; with `needs`, once per answer of the step before."""

    name: str
    number: int = 1
    needs: tuple[str, ...] = ()  # type: ignore[misc]

    def calls(self, document: Document, answers: Answers) -> Repeated:
        basis = [list(answers[need]) for need in self.needs]
        number = sum(map(len, basis)) if basis else self.number
        return Repeated(lambda rank: self._call(document, rank), number, basis or None)

    def expected_calls(self, document: Document) -> Range:
        return Range.exactly(self.number)

    def specimen(self, document: Document) -> Call:
        return self._call(document, 0)

    def _call(self, document: Document, rank: int) -> Call:
        return toy_call("deep", document, self.name, (), rank, f"{self.name} {rank}")


DEEP = Recipe(
    "deep",
    (
        Numbered("topics", 2),
        Numbered("facts", FACTS),
        Numbered("texts", needs=("topics", "facts")),
    ),
)


@dataclass(frozen=True)
class Linked(Recipe):
    """A text about each document and its successor, whose topics it must know."""

    links_documents: ClassVar[bool] = True

    def linked(self, documents: Sequence[Document], answers: Mapping[str, Answers]) -> Recipe:
        followers = dict(itertools.pairwise(each.id for each in documents))
        assert all(answers[each.id]["topics"] for each in documents), "all are prepared"
        topics, _ = self.steps
        return dataclasses.replace(self, steps=(topics, Follower(followers=followers)))


@dataclass(frozen=True)
class Follower(Step):
    """One text per document that has a follower."""

    name: str = "pairs"
    followers: Mapping[str, str] | None = None
    needs: ClassVar[tuple[str, ...]] = ("topics",)

    def calls(self, document: Document, answers: Answers) -> Repeated:
        assert self.followers is not None, "planned before all documents were prepared"
        after = self.followers.get(document.id, "")
        return Repeated(
            lambda rank: toy_call("linked", document, "pairs", (after,), 0, after),
            int(bool(after)),
            after,
        )

    def expected_calls(self, document: Document) -> Range:
        return Range(0, 1, 1)

    def specimen(self, document: Document) -> Call:
        return toy_call("linked", document, "pairs", ("x",), 0, "x")


LINKED = Linked("linked", (Numbered("topics"), Follower()))


def run(ledger: Ledger, recipe: Recipe, client: ToyClient, documents: Sequence[Document]) -> None:
    worker = EndpointWorker(client, RetryPolicy(max_attempts=1), Prices())
    view = PlanView(documents, [recipe], ledger)
    asyncio.run(generate(view, [worker]))


def test_all_preparing_calls_of_a_step_are_one_round(ledger: Ledger) -> None:
    view = PlanView(TINY[:3], [DEEP], ledger)
    rounds = preparing_rounds(view, TINY[:3])
    assert {key: len(calls) for key, calls in rounds.items()} == {(0, 0): 6, (1, 0): 3 * FACTS}
    positions = [planned.position for planned in rounds[1, 0]]
    assert positions == list(range(3 * FACTS))


def test_a_recipe_of_many_preparing_calls_is_made_whole(ledger: Ledger) -> None:
    client = ToyClient()
    run(ledger, DEEP, client, TINY[:3])
    totals = PlanView(TINY[:3], [DEEP], ledger).totals()
    assert totals.counts["done"] == 3 * (2 * (2 + FACTS)) and totals.to_do == 0


def test_batches_of_preparing_calls_are_the_same_when_resumed(tmp_path: Path) -> None:
    """A model in this process draws random numbers for a batch, so a resumed run needs the same."""

    def batches(path: Path, stop_after: int | None) -> list[tuple[str, ...]]:
        client = ToyClient(batch_size=4, concurrency=1)
        with Ledger(path) as ledger:
            if stop_after is not None:
                first = ToyClient(batch_size=4, concurrency=1)

                def answer(call: Call) -> object:
                    if len(first.batches) > stop_after:
                        raise KeyboardInterrupt
                    return answer_everything(call)

                first.answer = answer  # type: ignore[assignment]
                with pytest.raises(KeyboardInterrupt):
                    run(ledger, DEEP, first, TINY[:3])
            run(ledger, DEEP, client, TINY[:3])
            return [tuple(call.id for call in batch) for batch in client.batches]

    whole = batches(tmp_path / "whole.db", None)
    for stop_after in (1, 3, 5):
        rest = batches(tmp_path / f"{stop_after}.db", stop_after)
        assert rest and rest == whole[len(whole) - len(rest) :]


def test_a_recipe_that_links_documents_waits_for_all_of_them(ledger: Ledger) -> None:
    documents = TINY[:4]
    view = PlanView(documents, [LINKED], ledger)
    assert all(view.texts(LINKED, each) is None for each in documents)
    client = ToyClient()
    run(ledger, LINKED, client, documents)
    pairs = [call for batch in client.batches for call in batch if call.stage == "pairs"]
    assert sorted(call.subset[0] for call in pairs) == sorted(each.id for each in documents[1:])
    totals = PlanView(documents, [LINKED], ledger).totals()
    assert [each.document_id for each in totals.without_calls] == [documents[-1].id]


@dataclass(frozen=True)
class Broken(Numbered):
    """A step of an installed package with a fault."""

    def _call(self, document: Document, rank: int) -> Call:
        raise ZeroDivisionError("a fault")

    def passage(self, call: Call, text: str) -> str | Rejected | None:
        return Rejected("off-form") if "off" in text else text


def test_a_plugin_that_raises_is_named(ledger: Ledger) -> None:
    view = PlanView(TINY[:2], [Recipe("broken", (Broken("texts"),))], ledger)
    with pytest.raises(UserError) as raised:
        view.totals()
    told = str(raised.value)
    assert "recipe 'broken', step 'texts'" in told and "ZeroDivisionError: a fault" in told
    assert TINY[0].id in told


def test_a_text_that_its_recipe_rejects_is_a_candidate_with_the_reason(ledger: Ledger) -> None:
    run(ledger, Recipe("deep", (Numbered("texts"),)), ToyClient(), TINY[:1])
    call = Numbered("texts")._call(TINY[0], 0)
    record = ledger.get(call.id)
    assert record is not None
    (kept,) = candidates_of(Broken("texts"), call, record)
    assert (kept.text, kept.rejected, kept.status) == (record.text, None, "done")
    off = dataclasses.replace(
        record, completion=dataclasses.replace(record.completion, text="off topic")
    )
    (rejected,) = candidates_of(Broken("texts"), call, off)
    assert (rejected.text, rejected.rejected) == ("off topic", "off-form")
