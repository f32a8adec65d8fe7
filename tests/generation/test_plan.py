from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from toy import TINY, ListedCalls, ToyEntities, completion, entities_json, toy_recipe, view_of

from steep.core.calls import Call, Usage
from steep.core.errors import UserError
from steep.documents.document import Document
from steep.generation.plan import Preparation
from steep.generation.totals import Failure, Subject, Totals
from steep.ledger.ledger import Ledger
from steep.ledger.records import Entry
from steep.recipes.recipe import Answers, Recipe

RECIPE = toy_recipe(pairs=3)


def prepared(ledger: Ledger, document: Document, recipe: Recipe = RECIPE) -> Preparation:
    return view_of([document], recipe, ledger).preparation(recipe, document)


def open_document(ledger: Ledger, document: Document, **fields: Any) -> Call:
    """Answer the next preparing call of a document."""
    call = prepared(ledger, document).planned[-1].call
    fields.setdefault("text", entities_json("Ada", "Bo", "Cy"))
    ledger.record([Entry(call, completion(call, **fields))])
    return call


def test_before_anything_is_answered_only_preparing_calls_are_planned(ledger: Ledger) -> None:
    planned = list(view_of(TINY, RECIPE, ledger).walk())
    assert [each.call.stage for each in planned] == ["entities"] * 3
    found = view_of(TINY, RECIPE, ledger).totals()
    assert found.counts["planned"] == found.counts["to_do"] == 3
    assert found.unprepared == tuple(Subject("toy", document.id) for document in TINY)


def test_the_walk_goes_document_by_document_from_preparing_calls_to_texts(ledger: Ledger) -> None:
    for document in TINY[:2]:
        open_document(ledger, document)
    stages = [
        (each.call.document_id, each.call.stage) for each in view_of(TINY, RECIPE, ledger).walk()
    ]
    one = ["entities", "pairs", "pairs", "pairs"]
    expected = [(d.id, stage) for d in TINY[:2] for stage in one] + [(TINY[2].id, "entities")]
    assert stages == expected


@pytest.mark.parametrize(
    "bad",
    [{"text": ""}, {"text": "I'm sorry, but I can't assist with that."}, {"text": "no JSON"}],
)
def test_a_preparing_answer_without_use_is_followed_by_another_try(
    ledger: Ledger, bad: dict[str, object]
) -> None:
    open_document(ledger, TINY[0], **bad)
    assert [p.call.sample for p in prepared(ledger, TINY[0]).planned] == [0, 1]
    open_document(ledger, TINY[0])
    found = prepared(ledger, TINY[0])
    assert found.complete
    assert view_of(TINY[:1], RECIPE, ledger).totals().planned == 5


def test_a_cut_off_preparing_answer_is_shown_to_the_recipe(ledger: Ledger) -> None:
    open_document(ledger, TINY[0], finish_reason="length")
    found = prepared(ledger, TINY[0])
    assert found.complete
    assert found.answers["entities"][0] is not None


def test_a_failed_preparing_call_stops_its_document_only(ledger: Ledger) -> None:
    open_document(ledger, TINY[0], text="", error="HTTP 500")
    open_document(ledger, TINY[1])
    found = view_of(TINY[:2], RECIPE, ledger).totals()
    assert found.counts | {"planned": 5, "done": 1, "failed": 1, "to_do": 3} == found.counts
    assert found.unprepared == (Subject("toy", TINY[0].id),)


def test_documents_without_calls_are_named(ledger: Ledger) -> None:
    for _ in range(2):
        open_document(ledger, TINY[0], text="no JSON")
    found = view_of(TINY[:1], RECIPE, ledger).totals()
    assert found.without_calls == (Subject("toy", TINY[0].id),)
    assert found.unprepared == ()
    assert found.planned == found.done == 2


def test_totals_sum_usage_and_reasons(ledger: Ledger) -> None:
    open_document(ledger, TINY[0])
    for planned in list(view_of(TINY[:1], RECIPE, ledger).walk())[1:]:
        failed = completion(planned.call, "", error="HTTP 500", usage=Usage(), cost_usd=None)
        ledger.record([Entry(planned.call, failed)])
    found = view_of(TINY[:1], RECIPE, ledger).totals()
    assert found.failures == (Failure("HTTP 500", 3),)
    assert (found.usage, found.cost_usd) == (Usage(10, 4, 5), 0.5)


def test_one_unknown_price_makes_the_cost_unknown(ledger: Ledger) -> None:
    open_document(ledger, TINY[0])
    open_document(ledger, TINY[1], cost_usd=None)
    assert view_of(TINY, RECIPE, ledger).totals().cost_usd is None


def test_a_call_that_two_documents_share_counts_for_both(ledger: Ledger) -> None:
    twins = (TINY[0], replace(TINY[0], id="twin"))
    open_document(ledger, TINY[0])
    found = view_of(twins, RECIPE, ledger).totals()
    assert (found.planned, found.done, found.to_do) == (8, 2, 6)


def test_totals_that_do_not_add_up_are_a_bug() -> None:
    with pytest.raises(RuntimeError, match="do not add up"):
        Totals(planned=3, done=1, to_do=1)


@dataclass(frozen=True)
class Stubborn(ToyEntities):
    def calls(self, document: Document, answers: Answers) -> ListedCalls:
        return ListedCalls([*super().calls(document, answers)[:1]] * 3)


def test_a_step_that_asks_the_same_for_ever_is_stopped(ledger: Ledger) -> None:
    open_document(ledger, TINY[0], text="no JSON")
    recipe = Recipe("toy", (Stubborn("toy", 3), RECIPE.steps[1]))
    with pytest.raises(UserError, match="repeats a call"):
        prepared(ledger, TINY[0], recipe)
