"""The forecast of training as text: devices, memory, disk, and a row per run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple
from typing import TYPE_CHECKING

from steep.core.formatting import UNKNOWN, count, dollars, duration, gib, shorten, span
from steep.core.tables import table, wrapped

if TYPE_CHECKING:
    from steep.training.forecast import RunForecast, SectionForecast, TrainingForecast

INDENT = 10  # of the text after a name
LONGEST_NAME = 20  # characters of an arm's name that are shown
VERBS = {"train": "training", "instruct": "instruction tuning"}


def of_training(forecast: TrainingForecast) -> list[str]:
    """Return the lines of the whole forecast."""
    lines: list[str] = []
    for section in forecast.sections:
        lines += section_lines(section, forecast.model)
    if forecast.to_do:
        lines += ["", *_table(forecast), "", *_sum(forecast)]
    return [*lines, *(line for each in forecast.warnings for line in wrapped(f"warning: {each}"))]


def section_lines(section: SectionForecast, model: str) -> Iterator[str]:
    """Yield devices, speed, memory and disk of the runs of a section."""
    verb, runs = VERBS[section.section], section.runs
    if not section.to_do:
        names = ", ".join(run.name for run in runs)
        yield from wrapped(f"{verb}: nothing to do, already done: {names}")
        return
    size = "" if section.parameters is None else f", {_parameters(section.parameters)}"
    yield from wrapped(f"{verb}: {model}{size}")
    devices = section.devices
    yield from _named("on", f"{devices.count} x {devices.name or 'unknown device'}")
    yield from _named("speed", _speed(section))
    yield from _named("memory", _memory(section))
    yield from _named("disk", _disk(section))


def _speed(section: SectionForecast) -> str:
    rate = section.rate
    if rate.tokens_per_s is None:
        return f"{UNKNOWN}: {rate.source}"
    low, expected, high = map(count, astuple(rate.tokens_per_s))
    return f"{expected} tokens/s ({low} to {high}), {rate.source}"


def _memory(section: SectionForecast) -> str:
    memory = section.memory
    if memory is None:
        return UNKNOWN
    there = "" if memory.available is None else f" of {gib(memory.available)} free"
    where = "per GPU" if section.devices.is_gpu else "on this machine"
    host = "" if section.host_bytes is None else f"; {gib(section.host_bytes)} on its host"
    return f"about {gib(memory.total)}{there} {where}{host}"


def _disk(section: SectionForecast) -> str:
    memory = section.memory
    if memory is None or section.disk_bytes is None:
        return UNKNOWN
    return (
        f"up to {gib(section.disk_bytes)} per run: checkpoints of "
        f"{gib(memory.checkpoint_bytes)}, and the final model of {gib(memory.export_bytes)}"
    )


def _table(forecast: TrainingForecast) -> list[str]:
    head = ["run", "tokens", "time", "low", "high"]
    priced = forecast.gpu_hour_usd is not None
    rows = [head + ["cost"] * priced]
    for run in forecast.runs:
        cells = [shorten(run.name, LONGEST_NAME), _tokens(run), *_times(run)]
        rows.append(cells + [_cost(run)] * priced)
    return table(rows)


def _tokens(run: RunForecast) -> str:
    if run.tokens is None:
        return UNKNOWN
    about = "" if run.tokens.low == run.tokens.high else "~"
    return about + count(run.tokens.expected)


def _times(run: RunForecast) -> list[str]:
    if run.state == "done":
        return ["done", "", ""]
    if run.hours is None:
        return [UNKNOWN, "", ""]
    return [_time(each) for each in (run.hours.expected, run.hours.low, run.hours.high)]


def _cost(run: RunForecast) -> str:
    if run.state == "done":
        return ""
    return UNKNOWN if run.cost_usd is None else dollars(run.cost_usd.expected)


def _sum(forecast: TrainingForecast) -> Iterator[str]:
    for run in forecast.runs:
        if run.state == "interrupted":
            steps = UNKNOWN if run.steps is None else count(run.steps.expected)
            yield f"{run.name} resumes after step {run.steps_done:,} of {steps}"
    hours, cost, room = forecast.hours, forecast.cost_usd, forecast.room_bytes
    yield "to do: expected (low to high)"
    yield from _named("time", UNKNOWN if hours is None else span(hours, _time))
    if forecast.gpu_hour_usd is not None:
        spent = span(cost, dollars) if cost is not None else UNKNOWN
        yield from _named("cost", f"{spent}, at {dollars(forecast.gpu_hour_usd)} per GPU hour")
    yield from _named("disk", UNKNOWN if room is None else f"up to {gib(room)}, all runs together")


def _named(name: str, text: str) -> list[str]:
    return wrapped(f"  {name.ljust(INDENT - 2)}{text}", hang=INDENT - 2)


def _parameters(count: int) -> str:
    for unit, size in (("B", 1e9), ("M", 1e6)):
        if count >= size:
            return f"{count / size:.2f} {unit} parameters"
    return f"{count:,} parameters"


def _time(hours: float) -> str:
    return duration(hours * 3600)
