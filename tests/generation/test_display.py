"""The progress of a generation: calls, the tokens of a model in this process, what is left."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steep.core import progress
from steep.core.calls import Completion, Usage
from steep.core.progress import ProgressTracker
from steep.core.progress_state import ProgressState
from steep.core.progress_views import PlainLines
from steep.core.ranges import Range
from steep.generation import display
from steep.generation.display import GenerationDisplay
from steep.generation.forecast import Amounts, Forecast, StepForecast
from steep.generation.progress import GenerationProgress, StepUsage
from steep.generation.projection import ENOUGH_ANSWERS, Projection
from steep.llm.client import DecodingStep

ENTITIES, PAIRS = ("entigraph", "entities"), ("entigraph", "pairs")


def amounts(calls: float, tokens: float, usd: float | None) -> Amounts:
    """The usage of calls of `tokens` and `usd` each; at least half of it, at most twice."""

    def about(value: float) -> Range:
        return Range(calls * value / 2, calls * value, calls * value * 2)

    cost = None if usd is None else about(usd)
    return Amounts(Range.exactly(calls), about(100), about(0), about(tokens), cost)


def completion(text: str, cost_usd: float | None) -> Completion:
    return Completion("a", text, "stop", Usage(100, 0, 10), cost_usd, 1.0, "here", 1)


def forecast(entities: Amounts, pairs: Amounts) -> Forecast:
    steps = (StepForecast(*ENTITIES, 0, entities), StepForecast(*PAIRS, 0, pairs))
    return Forecast((), steps, Amounts(), Amounts(), None)


class Shown:
    """The display, with a clock, and its last state."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, found: Forecast) -> None:
        self.now_s = 0.0
        clock = SimpleNamespace(monotonic=lambda: self.now_s)
        monkeypatch.setattr(progress, "time", clock)
        monkeypatch.setattr(display, "time", clock)
        self.tracker = ProgressTracker(lambda now_s: PlainLines(io.StringIO(), now_s))
        monkeypatch.setattr(self.tracker, "_start", lambda: None)
        monkeypatch.setattr(progress, "_tracker", self.tracker)
        self.display = GenerationDisplay(lambda: found, {ENTITIES}, spent_usd=1.0)

    @property
    def state(self) -> ProgressState:
        self.tracker.tick()
        (task,) = self.tracker._tasks
        return task.state(self.now_s)


def test_a_model_in_this_process_shows_its_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Shown(monkeypatch, forecast(amounts(0, 0, 0), amounts(70, 100, 0)))
    shown.display.load("SmolLM2")
    assert shown.state.phase == "loading SmolLM2"
    shown.display.on_progress(GenerationProgress("texts", planned=70, in_flight=50))
    shown.display.on_step(DecodingStep(0, calls=50, most_tokens=300))
    assert shown.state.facts["this batch"] == "0 of 50 texts ended, reading prompts"
    done = []
    for token in range(1, 61):
        shown.now_s += 0.5
        alive = 50 if token < 40 else 20
        shown.display.on_step(DecodingStep(alive, 50, 50 - alive, token, 300))
        done.append(shown.state.done)
    assert 0.3 < done[0] < 0.6 and done == sorted(done)
    assert done[-1] == pytest.approx(30 + 20 * 0.6)
    state = shown.state
    assert state.facts["this batch"] == (
        "30 of 50 texts ended, the others at token 60 of at most 300"
    )
    assert state.facts["tokens"].startswith("2,370 (")
    assert state.seconds_left is not None and 30 < state.seconds_left < 90
    assert state.cost_usd == 0.0


def test_costs_are_projected_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Shown(monkeypatch, forecast(amounts(2, 10, 1.0), amounts(100, 10, 0.1)))
    started = GenerationProgress("preparing", planned=2)
    shown.display.on_progress(started)
    projected = shown.state.projected_cost_usd
    assert projected is not None and (projected.low, projected.expected) == (6.0, 12.0)
    answer = completion("a text", cost_usd=3.0)
    shown.display.on_progress(started.after([answer], [ENTITIES]))
    projected = shown.state.projected_cost_usd
    assert projected is not None
    assert projected.expected == pytest.approx(3 + 1 + 10), "one more, and not at its cost"
    assert shown.state.facts["project cost"] == "$4.00"
    assert "latest" not in shown.state.facts
    shown.display.on_progress(started.after([answer], [PAIRS]).after([answer], [PAIRS]))


def test_a_limit_ends_the_run_before_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Shown(monkeypatch, forecast(amounts(0, 0, 0), amounts(40, 10, None)))
    shown.display.on_progress(GenerationProgress("texts", planned=500, finished=60))
    state = shown.state
    assert (state.done, state.total, state.about) == (60, 100, True)
    assert state.projected_cost_usd is None
    text = completion("Lit\x1b[2J\n lamps", cost_usd=None)
    after = GenerationProgress("texts", planned=500, finished=60).after([text], [PAIRS])
    shown.display.on_progress(after)
    assert shown.state.facts["cost"] == "unknown"
    assert shown.state.facts["latest"] == "Lit[2J lamps", "it cannot control the terminal"


def test_batches_show_what_the_provider_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Shown(monkeypatch, forecast(amounts(0, 0, 0), amounts(100, 10, 0.1)))
    state = GenerationProgress("texts", in_flight=80, batches=2, answered=30)
    shown.display.on_progress(state)
    assert (shown.state.done, shown.state.total) == (30, 100)
    assert shown.state.facts == {"batches": "2", "answered there": "30", "completed": "0"}


@given(st.integers(0, 50), st.integers(0, 80), st.floats(0.001, 10))
def test_what_is_left_never_grows_with_calls(calls: int, ended: int, usd: float) -> None:
    projection = Projection.of(forecast(amounts(5, 10, 1.0), amounts(calls, 10, usd)), {})
    before = projection.remaining({}, {PAIRS})
    left = projection.remaining({PAIRS: StepUsage(ended, 10 * ended, usd * ended)}, {PAIRS})
    assert left.calls.expected == max(0, calls - ended)
    assert left.cost_usd is not None and before.cost_usd is not None
    assert left.cost_usd.low <= left.cost_usd.expected <= left.cost_usd.high
    assert left.cost_usd.expected == pytest.approx(usd * max(0, calls - ended))
    if ended >= ENOUGH_ANSWERS:
        assert left.cost_usd.high == pytest.approx(1.1 * left.cost_usd.expected)
    everything = projection.remaining({})
    assert everything.calls.expected == 5 + calls
