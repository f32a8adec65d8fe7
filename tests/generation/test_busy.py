"""The time of calls, over all runs that made them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from toy import (
    TINY,
    ListedCalls,
    calls_about,
    completion,
    entities_json,
    first_call,
    toy_recipe,
    view_of,
)

from steep.generation.usage_stats import busy_seconds, merged
from steep.ledger.ledger import Ledger
from steep.ledger.records import Entry, Slot, SubmittedBatch

RECIPE = toy_recipe(pairs=6)
DOCUMENT = TINY[0]


def record_at(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, latencies: list[float]) -> None:
    """A list of entities at midnight, and a text per minute from one o'clock on."""
    ends = iter(
        [
            "2026-01-01T00:00:10.000+00:00",
            *(f"2026-01-01T01:{n:02d}:00.000+00:00" for n in range(6)),
        ]
    )
    monkeypatch.setattr("steep.ledger.ledger.now_utc", lambda: next(ends))
    first = first_call(RECIPE, DOCUMENT)
    answer = completion(first, entities_json("Ada", "Bo", "Cy", "Di"), latency_s=4.0)
    ledger.record([Entry(first, answer)])
    calls = ListedCalls(calls_about(RECIPE, DOCUMENT, answer.text))
    for rank, (call, latency_s) in enumerate(zip(calls, latencies, strict=True)):
        answered = completion(call, latency_s=latency_s)
        ledger.record([Entry(call, answered, Slot(calls.key, rank))])


def test_time_of_all_runs_counts_and_pauses_do_not(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert busy_seconds(view_of(TINY, RECIPE, ledger)) == 0.0
    record_at(ledger, monkeypatch, [10.0, 70.0, 10.0, 10.0, 10.0, 10.0])
    # 4 s at midnight; 70 s until 1:01, in which the text of one o'clock fell; then 4 of 10 s.
    assert busy_seconds(view_of(TINY, RECIPE, ledger)) == pytest.approx(4 + 70 + 40)
    two = view_of(TINY, RECIPE, ledger, most_per_step=2)
    assert busy_seconds(two) == pytest.approx(4 + 70)


def test_calls_of_a_batch_take_as_long_as_the_batch(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_at(ledger, monkeypatch, [0.0] * 6)
    times = ("2026-01-01T00:30:00.000+00:00", "2026-01-01T01:30:00.000+00:00")
    batch = SubmittedBatch("one", "http://host", "collected", 6, times[0], finished_at=times[1])
    ledger.submit(batch, [])
    ledger.submit(replace(batch, token="two", status="rejected", submitted_at=times[1]), [])
    assert busy_seconds(view_of(TINY, RECIPE, ledger)) == pytest.approx(4 + 3600)


def test_spans_are_merged() -> None:
    assert merged([(5, 6), (0, 2), (1, 3), (3, 4)]) == [(0, 4), (5, 6)]
