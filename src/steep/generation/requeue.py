"""Calls that have ended, and are asked again all the same: what came back was of no use.

An answer without text is asked for again by the next run, as often as any call is tried. The
opening answers of a document without entities are asked for again when the user says so: what is
wrong with them is often put right at the endpoint, which no setting of ours tells. What such calls
have cost stays counted, as spent for nothing (`Ledger.lost`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from steep.documents.document import Document
from steep.generation.plan import counted_calls, is_final, opening_of
from steep.ledger.budget import Reservation, is_counted, most_of
from steep.ledger.ledger import Ledger
from steep.ledger.records import Lost
from steep.llm.prices import Prices
from steep.recipes.recipe import Recipe


def textless_calls(
    documents: Iterable[Document],
    recipe: Recipe,
    ledger: Ledger,
    counts: Mapping[str, int] | None,
    max_attempts: int,
) -> list[str]:
    """Return the ids of the planned calls whose answers hold no text and may be asked for again."""
    if not ledger.has_textless(max_attempts):
        return []
    found: list[str] = []
    for document in documents:
        calls, below = counted_calls(document, recipe, ledger, counts)
        found += ledger.textless_slots(calls.key, below, max_attempts)
    return list(dict.fromkeys(found))


def opening_calls(documents: Iterable[Document], recipe: Recipe, ledger: Ledger) -> list[str]:
    """Return the ids of the opening calls of documents that have ended."""
    return [
        planned.call.id
        for document in documents
        for planned in opening_of(document, recipe, ledger).planned
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
