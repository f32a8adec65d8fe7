"""The forecast of a scaling study as text: devices, memory, disk, and a row per size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from steep.cli.training_lines import section_lines
from steep.core.formatting import UNKNOWN, count, dollars, duration, gib, plural, span
from steep.core.tables import table, wrapped

if TYPE_CHECKING:
    from steep.stages.scale_plan import SizeForecast, StudyForecast


def of_study(forecast: StudyForecast) -> list[str]:
    """Return the lines of a forecast."""
    (section,), training = forecast.training.sections, forecast.training
    priced = training.gpu_hour_usd is not None
    head = ["tokens", "models", "done", "training tokens each", "time left", "low", "high"]
    rows = [head + ["cost"] * priced]
    rows += [_row(each, forecast.exact, priced) for each in forecast.sizes]
    return [
        *([*section_lines(section, training.model), ""] if training.to_do else []),
        *table(rows),
        "",
        *_sum(forecast),
        *(line for each in forecast.warnings for line in wrapped(f"warning: {each}")),
    ]


def _row(size: SizeForecast, exact: bool, priced: bool) -> list[str]:
    about = "" if exact else "~"
    cells = [about + count(size.tokens), str(size.models), str(size.done)]
    cells.append(about + count(size.training_tokens))
    if size.hours is None:
        cells += [UNKNOWN, "", ""]
    else:
        hours = (size.hours.expected, size.hours.low, size.hours.high)
        cells += [duration(3600 * each) for each in hours]
    return cells + [UNKNOWN if size.cost_usd is None else dollars(size.cost_usd.expected)] * priced


def _sum(forecast: StudyForecast) -> Iterator[str]:
    training = forecast.training
    models = sum(size.models for size in forecast.sizes)
    done = sum(size.done for size in forecast.sizes)
    yield f"to do: {count(models - done)} of {plural(models, 'model')}; expected (low to high)"
    if forecast.calls:
        cost = forecast.generation_usd
        shown = UNKNOWN if cost is None else span(cost, dollars)
        calls = plural(round(forecast.calls), "call")
        yield from _named("texts", f"{calls}, cost {shown}; see steep plan")
    hours = training.hours
    time = UNKNOWN if hours is None else span(hours.times(3600), duration)
    yield from _named("training", f"{time}, one model after the other")
    asking = forecast.evaluation_hours
    yield from _named(
        "evaluation",
        f"{UNKNOWN} until a point is finished" if asking is None else duration(3600 * asking),
    )
    if training.gpu_hour_usd is not None:
        cost = training.cost_usd
        yield from _named("cost", UNKNOWN if cost is None else span(cost, dollars))
    room = forecast.room_bytes
    kept = "weights are deleted" if forecast.delete_weights else "scale.delete_weights keeps less"
    yield from _named("disk", UNKNOWN if room is None else f"up to {gib(room)}; {kept}")


def _named(name: str, text: str) -> list[str]:
    return wrapped(f"  {name:<12}{text}", hang=12)
