"""The forecast of a comparison as text: a row per recipe, and what it takes in all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steep.cli.training_lines import section_lines
from steep.core.calls import RAW_RECIPE
from steep.core.formatting import UNKNOWN, count, dollars, duration, span
from steep.core.tables import table, wrapped
from steep.training.forecast import total

if TYPE_CHECKING:
    from steep.core.ranges import Range
    from steep.stages.compare_plan import ComparisonForecast, RecipeForecast


def of_comparison(forecast: ComparisonForecast) -> list[str]:
    """Return the lines of a forecast."""
    (section,), training = forecast.training.sections, forecast.training
    head = ["recipe", "text tokens", "calls", "cost", "generation", "models", "done", "training"]
    rows = [head, *map(_row, forecast.recipes)]
    costs = total(each.cost_usd for each in forecast.recipes)
    hours = total(each.training_hours for each in forecast.recipes)
    asking = forecast.evaluation_hours
    return [
        *([*section_lines(section, training.model), ""] if training.to_do else []),
        *table(rows),
        "",
        "to do: expected (low to high)",
        f"  generation  {UNKNOWN if costs is None else span(costs, dollars)}",
        f"  training    {UNKNOWN if hours is None else span(hours.times(3600), duration)}",
        "  evaluation  "
        + (f"{UNKNOWN} until a point is finished" if asking is None else duration(3600 * asking)),
        *(line for each in forecast.warnings for line in wrapped(f"warning: {each}")),
    ]


def _row(each: RecipeForecast) -> list[str]:
    if each.recipe == RAW_RECIPE:
        texts = ["", "", "", ""]
    else:
        tokens = "" if each.tokens is None else f"~{count(each.tokens.expected)}"
        calls, written = count(each.calls.expected), not each.calls.high
        cost = UNKNOWN if each.cost_usd is None else dollars(each.cost_usd.expected)
        texts = [tokens, calls, cost, "" if written else _hours(each.generation_hours)]
    return [each.recipe, *texts, str(each.models), str(each.done), _hours(each.training_hours)]


def _hours(hours: Range | None) -> str:
    return UNKNOWN if hours is None else duration(3600 * hours.expected)
