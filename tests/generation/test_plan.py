from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from toy import TINY, ToyRecipe, completion, entities_json

from steep.core.calls import Call, Usage
from steep.core.errors import UserError
from steep.documents.document import Document
from steep.generation.plan import Failure, Totals, opening_of, totals, walk
from steep.ledger.ledger import Ledger
from steep.ledger.records import Entry

RECIPE = ToyRecipe(pairs=3, tries=2)


def open_document(ledger: Ledger, document: Document, **fields: Any) -> Call:
    """Answer the next opening call of a document."""
    call = opening_of(document, RECIPE, ledger).planned[-1].call
    fields.setdefault("text", entities_json("Ada", "Bo", "Cy"))
    ledger.record([Entry(call, completion(call, **fields))])
    return call


def test_before_anything_is_answered_only_openings_are_planned(ledger: Ledger) -> None:
    planned = list(walk(TINY, RECIPE, ledger))
    assert [each.call.stage for each in planned] == ["entities"] * 3
    found = totals(TINY, RECIPE, ledger)
    assert found.counts["planned"] == found.counts["to_do"] == 3
    assert found.unopened == tuple(document.id for document in TINY)


def test_the_walk_goes_document_by_document_from_openings_to_calls(ledger: Ledger) -> None:
    for document in TINY[:2]:
        open_document(ledger, document)
    stages = [(each.call.document_id, each.call.stage) for each in walk(TINY, RECIPE, ledger)]
    one = ["entities", "pair", "pair", "pair"]
    expected = [(d.id, stage) for d in TINY[:2] for stage in one] + [(TINY[2].id, "entities")]
    assert stages == expected


@pytest.mark.parametrize(
    "bad",
    [{"text": ""}, {"text": "I'm sorry, but I can't assist with that."}, {"text": "no JSON"}],
)
def test_an_opening_answer_without_use_is_followed_by_another_try(
    ledger: Ledger, bad: dict[str, object]
) -> None:
    open_document(ledger, TINY[0], **bad)
    assert [p.call.sample for p in opening_of(TINY[0], RECIPE, ledger).planned] == [0, 1]
    open_document(ledger, TINY[0])
    opening = opening_of(TINY[0], RECIPE, ledger)
    assert opening.complete
    assert totals(TINY[:1], RECIPE, ledger).planned == 5


def test_a_cut_off_opening_answer_is_shown_to_the_recipe(ledger: Ledger) -> None:
    open_document(ledger, TINY[0], finish_reason="length")
    opening = opening_of(TINY[0], RECIPE, ledger)
    assert opening.complete
    assert opening.texts[0] is not None


def test_a_failed_opening_stops_its_document_only(ledger: Ledger) -> None:
    open_document(ledger, TINY[0], text="", error="HTTP 500")
    open_document(ledger, TINY[1])
    found = totals(TINY[:2], RECIPE, ledger)
    assert found.counts | {"planned": 5, "done": 1, "failed": 1, "to_do": 3} == found.counts
    assert found.unopened == (TINY[0].id,)


def test_documents_without_calls_are_named(ledger: Ledger) -> None:
    for _ in range(2):
        open_document(ledger, TINY[0], text="no JSON")
    found = totals(TINY[:1], RECIPE, ledger)
    assert found.without_calls == (TINY[0].id,)
    assert found.unopened == ()
    assert found.planned == found.done == 2


def test_totals_sum_usage_and_reasons(ledger: Ledger) -> None:
    open_document(ledger, TINY[0])
    for planned in list(walk(TINY[:1], RECIPE, ledger))[1:]:
        failed = completion(planned.call, "", error="HTTP 500", usage=Usage(), cost_usd=None)
        ledger.record([Entry(planned.call, failed)])
    found = totals(TINY[:1], RECIPE, ledger)
    assert found.failures == (Failure("HTTP 500", 3),)
    assert (found.usage, found.cost_usd) == (Usage(10, 4, 5), 0.5)


def test_one_unknown_price_makes_the_cost_unknown(ledger: Ledger) -> None:
    open_document(ledger, TINY[0])
    open_document(ledger, TINY[1], cost_usd=None)
    assert totals(TINY, RECIPE, ledger).cost_usd is None


def test_a_call_that_two_documents_share_counts_for_both(ledger: Ledger) -> None:
    twins = (TINY[0], replace(TINY[0], id="twin"))
    open_document(ledger, TINY[0])
    found = totals(twins, RECIPE, ledger)
    assert (found.planned, found.done, found.to_do) == (8, 2, 6)


def test_totals_that_do_not_add_up_are_a_bug() -> None:
    with pytest.raises(AssertionError, match="do not add up"):
        Totals(planned=3, done=1, to_do=1)


@dataclass(frozen=True)
class Stubborn(ToyRecipe):
    def opening(self, document: Document, texts: Sequence[str | None]) -> Call | None:
        return super().opening(document, [])


def test_a_recipe_that_asks_the_same_for_ever_is_stopped(ledger: Ledger) -> None:
    open_document(ledger, TINY[0])
    with pytest.raises(UserError, match="repeats an opening call"):
        opening_of(TINY[0], Stubborn(), ledger)
