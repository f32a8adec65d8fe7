"""Statistics of the latest calls of a model: tokens per character, lengths of answers, speed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from steep.core.ranges import Range
from steep.documents.document import Document
from steep.generation.plan import PlanView
from steep.ledger.ledger import Ledger
from steep.ledger.records import IMPORT_ENDPOINT

LATEST_CALLS = 20_000
PROMPTS_READ = 64  # to learn how many characters make a token
FEW_ANSWERS = 4  # fewer do not show the length of answers
LOW_QUANTILE = 0.1

Span = tuple[float, float]  # seconds since the epoch


@dataclass(frozen=True, slots=True)
class Measured:
    """Statistics of answered calls; None and empty mean too few of them."""

    calls: int = 0
    tokens_per_character: Range | None = None  # of prompts: lowest, mean, highest
    # Tokens per answer by recipe and step (low quantile, mean, maximum), and the number of answers.
    answers: Mapping[tuple[str, str], Range] = field(default_factory=dict)
    answers_read: Mapping[tuple[str, str], int] = field(default_factory=dict)
    cached_share: float | None = None  # of the prompt tokens of calls for texts
    tokens_per_s: float | None = None  # of answers, while any call was in flight
    calls_at_once: float | None = None  # mean number in flight then


class _Row(NamedTuple):
    call_id: str
    recipe: str
    stage: str
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    latency_s: float
    finished_at: str


def measure(ledger: Ledger, model: str, preparing: Collection[tuple[str, str]] = ()) -> Measured:
    """Measure the latest answered calls of a model.

    The prompts of `preparing` steps (recipe, step) share no cached prefix.
    """
    rows = _latest(ledger, model)
    by_step: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row in rows:
        by_step[row.recipe, row.stage].append(row.completion_tokens)
    answers = {
        step: _range_of(lengths) for step, lengths in by_step.items() if len(lengths) >= FEW_ANSWERS
    }
    tokens_per_s, calls_at_once = _speed(rows) or (None, None)
    texts = [row for row in rows if (row.recipe, row.stage) not in preparing]
    return Measured(
        calls=len(rows),
        tokens_per_character=_tokens_per_character(ledger, rows),
        answers=answers,
        answers_read={step: len(by_step[step]) for step in answers},
        cached_share=_cached_share(texts),
        tokens_per_s=tokens_per_s,
        calls_at_once=calls_at_once,
    )


def _latest(ledger: Ledger, model: str) -> list[_Row]:
    columns = (
        "id, recipe, stage, prompt_tokens, cached_tokens, completion_tokens, latency_s, finished_at"
    )
    latest = (
        f"SELECT {columns}, model, endpoint, status FROM calls "
        f"ORDER BY rowid DESC LIMIT {LATEST_CALLS}"
    )
    query = (
        f"SELECT {columns} FROM ({latest}) WHERE model = ? AND prompt_tokens > 0 "
        f"AND endpoint != '{IMPORT_ENDPOINT}' AND status NOT IN ('failed', 'skipped', 'submitted')"
    )
    return [_Row(*row) for row in ledger.select(query, (model,))]


def _range_of(lengths: list[int]) -> Range:
    ordered = sorted(lengths)
    low = ordered[int(LOW_QUANTILE * len(ordered))]
    return Range.around(low, sum(ordered) / len(ordered), ordered[-1])


def _tokens_per_character(ledger: Ledger, rows: Sequence[_Row]) -> Range | None:
    """From prompts at equal distances: those of one document stand together."""
    step = max(1, len(rows) // PROMPTS_READ)
    tokens, characters, ratios = 0, 0, []
    for row in rows[::step]:
        messages = ledger.messages_of(row.call_id) or ()
        length = sum(len(part) for message in messages for part in message.parts)
        if length:
            tokens += row.prompt_tokens
            characters += length
            ratios.append(row.prompt_tokens / length)
    return Range.around(min(ratios), tokens / characters, max(ratios)) if ratios else None


def _cached_share(rows: Sequence[_Row]) -> float | None:
    if len(rows) < FEW_ANSWERS:
        return None
    return sum(row.cached_tokens for row in rows) / sum(row.prompt_tokens for row in rows)


def _speed(rows: Iterable[_Row]) -> tuple[float, float] | None:
    """Tokens per second and calls at once, while any was under way: pauses do not count."""
    spans, tokens, latencies_s = [], 0, 0.0
    for row in rows:
        if not row.latency_s:  # unknown within a provider's batch
            continue
        spans.append(span_of(row.latency_s, row.finished_at))
        tokens += row.completion_tokens
        latencies_s += row.latency_s
    busy_s = sum(end_s - start_s for start_s, end_s in merged(spans))
    return (tokens / busy_s, latencies_s / busy_s) if busy_s > 0 and tokens else None


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
