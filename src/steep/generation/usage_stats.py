"""What the ledger has measured of a model: how its tokenizer reads, how long it answers, how fast.

A plan for more of the same is refined by it. Only the latest calls are looked at, so it takes no
longer in a ledger of a million calls than in one of ten thousand.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from steep.generation.busy import merged, span_of
from steep.generation.estimate import Range
from steep.ledger.ledger import Ledger
from steep.ledger.records import IMPORT_ENDPOINT

LATEST_CALLS = 20_000
PROMPTS_READ = 64  # to learn how many characters make a token
FEW_ANSWERS = 4  # fewer than these say nothing about the length of answers
LOW_QUANTILE = 0.1


@dataclass(frozen=True, slots=True)
class Measured:
    """Nothing, at first: None and empty mean that too little was measured.

    Attributes:
        calls: How many answered calls of the model were looked at.
        tokens_per_character: Of prompts: the least, the mean, the most.
        answers: Tokens of an answer by recipe and step: a low quantile, the mean, the most.
        answers_read: How many answers those rest on; the same keys.
        cached_share: Of the prompt tokens of calls for texts.
        tokens_per_s: Tokens of answers per second, while any call was in flight.
        calls_at_once: Mean number of calls in flight then.
    """

    calls: int = 0
    tokens_per_character: Range | None = None
    answers: Mapping[tuple[str, str], Range] = field(default_factory=dict)
    answers_read: Mapping[tuple[str, str], int] = field(default_factory=dict)
    cached_share: float | None = None
    tokens_per_s: float | None = None
    calls_at_once: float | None = None


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
    """Learn from the latest answered calls of a model.

    Args:
        ledger: The calls.
        model: Its name.
        preparing: Recipes and their preparing steps, whose prompts share no cached beginning.
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
        if not row.latency_s:  # of a provider's batch: nobody tells
            continue
        spans.append(span_of(row.latency_s, row.finished_at))
        tokens += row.completion_tokens
        latencies_s += row.latency_s
    busy_s = sum(end_s - start_s for start_s, end_s in merged(spans))
    return (tokens / busy_s, latencies_s / busy_s) if busy_s > 0 and tokens else None
