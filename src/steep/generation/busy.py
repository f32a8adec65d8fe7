"""How long calls were under way, over all runs that made them: the time that rates rest on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from steep.documents.document import Document
from steep.generation.plan import PlanView

Span = tuple[float, float]  # seconds since the epoch


def busy_seconds(view: PlanView) -> float:
    """Return the seconds in which an answered call of a plan was in flight.

    Pauses between runs do not count, nor do calls that the ledger holds for other plans. How long
    a call took within a provider's batch is not known: such calls count from the submission of each
    batch to its end.
    """
    spans: list[Span] = []
    in_batches = False
    for document in view.documents:
        for seconds, finished_at in _calls_about(view, document):
            in_batches |= not seconds
            spans.append(span_of(seconds, finished_at))
        spans = merged(spans)  # of a million calls, few spans are left
    if in_batches:
        for batch in view.ledger.batches(open_only=False):
            if batch.status == "collected" and batch.finished_at is not None:
                end_s = datetime.fromisoformat(batch.finished_at).timestamp()
                spans.append((datetime.fromisoformat(batch.submitted_at).timestamp(), end_s))
    return sum(end_s - start_s for start_s, end_s in merged(spans))


def span_of(seconds: float, finished_at: str) -> Span:
    """Return when a call that took so long was under way."""
    end_s = datetime.fromisoformat(finished_at).timestamp()
    return end_s - seconds, end_s


def merged(spans: Iterable[Span]) -> list[Span]:
    """Return the same time as spans that do not overlap."""
    found: list[Span] = []
    for start_s, end_s in sorted(spans):
        if found and start_s <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end_s)
        else:
            found.append((start_s, end_s))
    return found


def _calls_about(view: PlanView, document: Document) -> Iterator[tuple[float, str]]:
    query = (
        "SELECT latency_s, finished_at FROM slots JOIN calls ON calls.id = slots.call_id JOIN "
        "sequences ON sequences.id = slots.sequence WHERE sequences.key = ? AND rank < ? "
        "AND slots.status != 'skipped'"
    )
    for recipe in view.recipes:
        for _, record in view.preparation(recipe, document).planned:
            if record is not None and record.status not in ("failed", "submitted", "skipped"):
                yield record.completion.latency_s, record.finished_at
        for texts in view.texts(recipe, document) or ():
            yield from view.ledger.select(query, (texts.key, texts.number))
