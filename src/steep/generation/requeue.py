"""Calls that have ended and are asked again all the same: what came back was of no use.

An answer without text is asked for again by the next run, as often as any call is tried. The
preparing calls of a document that gave nothing to write about are asked again when the user says
so: what is wrong with them is often fixed at the endpoint, of which no setting of ours tells. What
such calls have cost stays counted, as spent for nothing (`Ledger.lost`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from steep.generation.plan import PlanView, Subject, is_final
from steep.ledger.budget import Reservation, is_counted, most_of
from steep.ledger.ledger import Ledger
from steep.ledger.records import Lost
from steep.llm.prices import Prices


def textless_calls(view: PlanView, max_attempts: int) -> list[str]:
    """Return the ids of the planned calls whose answers hold no text and may be asked for again."""
    if not view.ledger.has_textless(max_attempts):
        return []
    found: list[str] = []
    for recipe in view.recipes:
        for texts in view.all_texts(recipe):
            found += view.ledger.textless_slots(texts.key, texts.number, max_attempts)
    return list(dict.fromkeys(found))


def preparing_calls(view: PlanView, subjects: Iterable[Subject]) -> list[str]:
    """Return the ids of the preparing calls about some documents that have ended."""
    documents = {document.id: document for document in view.documents}
    recipes = {recipe.name: recipe for recipe in view.recipes}
    return [
        planned.call.id
        for recipe, document_id in subjects
        for planned in view.preparation(recipes[recipe], documents[document_id]).planned
        if planned.record is not None and is_final(planned.record.status)
    ]


def ask_again(
    call_ids: Sequence[str], finish_reason: str, error: str, ledger: Ledger, prices: Prices
) -> None:
    """Leave calls to do once more, and count what they have cost as spent for nothing."""
    lost = Lost()
    for call_id, record in ledger.get_many(call_ids).items():
        completion = record.completion
        usage = completion.usage
        took = Reservation(usage.prompt_tokens + usage.completion_tokens, completion.cost_usd)
        if not is_counted(completion):
            took = most_of(ledger.call(call_id), completion, prices)
        lost = lost.and_(took)
    ledger.forget_outcomes(call_ids, finish_reason, error, lost)
