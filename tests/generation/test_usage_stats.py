"""What the ledger teaches about a model."""

from __future__ import annotations

import pytest
from toy import TINY, calls_about, completion, entities_json, first_call, toy_recipe

from steep.core.calls import Call, Usage
from steep.core.ranges import Range
from steep.generation.usage_stats import Measured, measure
from steep.ledger.ledger import Ledger
from steep.ledger.records import Entry, ImportedText

RECIPE = toy_recipe(pairs=6)
DOCUMENT = TINY[0]


def pairs() -> list[Call]:
    return calls_about(RECIPE, DOCUMENT, entities_json("Ada", "Bo", "Cy", "Di"))


def length(call: Call) -> int:
    return sum(len(message.content) for message in call.messages)


def test_an_empty_ledger_teaches_nothing(ledger: Ledger) -> None:
    assert measure(ledger, "toy") == Measured()


def test_lengths_of_prompts_and_answers(ledger: Ledger) -> None:
    calls = pairs()
    assert len(calls) == 6
    entries = [
        Entry(call, completion(call, usage=Usage(length(call) // 4, 0, tokens)))
        for call, tokens in zip(calls, (100, 120, 140, 200, 250, 300), strict=False)
    ]
    ledger.record(entries)
    found = measure(ledger, "toy")
    tokens = [entry.completion.usage.completion_tokens for entry in entries]
    assert found.calls == len(calls)
    assert found.answers == {("toy", "pairs"): Range(100, sum(tokens) / len(tokens), max(tokens))}
    assert found.answers_read == {("toy", "pairs"): len(calls)}
    assert found.tokens_per_character is not None
    assert found.tokens_per_character.expected == pytest.approx(0.25, abs=0.01)
    assert found.cached_share == 0.0
    assert measure(ledger, "another").calls == 0


def test_what_failed_or_was_imported_teaches_nothing(ledger: Ledger) -> None:
    call = pairs()[0]
    ledger.record([Entry(call, completion(call, "", error="gone", usage=Usage(50, 0, 0)))])
    ledger.record_imported([ImportedText(DOCUMENT.id, "toy", "toy", 0, "A text.")])
    assert measure(ledger, "toy") == Measured()


def test_cached_tokens_are_counted_in_calls_for_texts_only(ledger: Ledger) -> None:
    first = first_call(RECIPE, DOCUMENT)
    preparing = [("toy", "entities")]
    ledger.record([Entry(first, completion(first, usage=Usage(1000, 0, 10)))])
    assert measure(ledger, "toy", preparing).cached_share is None
    ledger.record([Entry(each, completion(each, usage=Usage(100, 60, 10))) for each in pairs()])
    assert measure(ledger, "toy", preparing).cached_share == pytest.approx(0.6)


def test_the_rate_is_that_of_busy_time(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = iter(
        f"2026-01-01T0{hour}:00:{second:02d}.000+00:00"
        for hour, second in ((0, 10), (0, 10), (0, 12), (5, 10), (5, 40), (5, 40))
    )
    monkeypatch.setattr("steep.ledger.ledger.now_utc", lambda: next(ends))
    for call, latency_s in zip(pairs(), (10.0, 10.0, 10.0, 10.0, 0.0, 0.0), strict=True):
        usage = Usage(100, 0, 110)
        ledger.record([Entry(call, completion(call, usage=usage, latency_s=latency_s))])
    # 12 s at midnight, 10 s at five; the last two came back in a batch, nobody knows how fast.
    assert measure(ledger, "toy").tokens_per_s == pytest.approx(4 * 110 / 22)
