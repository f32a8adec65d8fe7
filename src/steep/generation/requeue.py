"""Calls that have ended and are asked again all the same: what came back was of no use.

An answer without text is asked for again by the next run, as often as any call is tried. The
preparing calls of a document that gave nothing to write about are asked again when the user says
so: the cause is often fixed at the endpoint, which no setting of ours shows. What such calls have
cost stays counted, as spent for nothing (`Ledger.lost`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from steep.core.formatting import plural
from steep.generation.config import GenerateConfig
from steep.generation.plan import PlanView, is_final
from steep.generation.pricing import base_urls, prices_of
from steep.ledger.budget import Reservation, is_counted, most_of
from steep.ledger.ledger import Ledger
from steep.ledger.records import TEXTLESS_REASON, Lost
from steep.llm.prices import Prices

log = logging.getLogger("steep")


def ask_again(settings: GenerateConfig, view: PlanView, empty: bool) -> None:
    """Leave to do what came back without text, and if `empty`, what left nothing to write."""
    prices = prices_of(settings, next(iter(base_urls(settings)), None))
    if textless := textless_calls(view, settings.max_attempts):
        log.info("generate: %s without text; asking again", plural(len(textless), "answer"))
        _forget(textless, TEXTLESS_REASON, "the answer held no text", view.ledger, prices)
    if empty:
        without = view.totals().without_calls
        log.info("generate: asking again about %s", plural(len(without), "document"))
        calls = [
            planned.call.id
            for subject in without
            for planned in view.preparation(*view.of(subject)).planned
            if planned.record is not None and is_final(planned.record.status)
        ]
        _forget(calls, "error", "the answers gave nothing to write about", view.ledger, prices)


def textless_calls(view: PlanView, max_attempts: int) -> list[str]:
    """Return the ids of the planned calls whose answers hold no text and may be asked for again."""
    if not view.ledger.has_textless(max_attempts):
        return []
    found: list[str] = []
    for recipe in view.recipes:
        for texts in view.all_texts(recipe):
            found += view.ledger.textless_slots(texts.key, texts.number, max_attempts)
    return list(dict.fromkeys(found))


def _forget(
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
