"""The forecast of a comparison: calls and dollars of each recipe, and hours. Nothing is made."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from steep.config import Config
from steep.core.artifacts import Project
from steep.core.calls import RAW_RECIPE
from steep.core.formatting import dollars, plural
from steep.core.ranges import Range
from steep.generation.planning import Plan
from steep.scaling.study import StudyPoint
from steep.stages.compare import find_comparison, points_of
from steep.stages.compare_texts import ComparisonRequest, limited, options_of, settings_for
from steep.stages.plan import make_plan
from steep.stages.scale import look_at
from steep.stages.scale_plan import evaluation_hours, forecast_points
from steep.stages.training_plan import TextTokens
from steep.training.forecast import TrainingForecast, total

NONE = Range.exactly(0.0)


@dataclass(frozen=True, slots=True)
class RecipeForecast:
    """What is left of a recipe; None is unknown.

    Attributes:
        tokens: Tokens of its texts, those that exist included; None: of the documents.
        calls: Calls for texts that are not written yet; `cost_usd` is theirs.
        generation_hours: None: no speed was measured.
        models: Number of models; of the documents, over all sizes.
        training_hours: Of the models that are left.
    """

    recipe: str
    tokens: Range | None
    calls: Range
    cost_usd: Range | None
    generation_hours: Range | None
    models: int
    done: int
    training_hours: Range | None
    training_usd: Range | None


@dataclass(frozen=True, slots=True)
class ComparisonForecast:
    """What is left of a comparison."""

    request: ComparisonRequest
    recipes: tuple[RecipeForecast, ...]
    training: TrainingForecast
    evaluation_hours: float | None
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return asdict(replace(self, training=None)) | {"training": self.training.as_json()}  # type: ignore[arg-type]


def forecast_comparison(
    config: Config, project: Project, request: ComparisonRequest, gpus: str | None = None
) -> ComparisonForecast:
    """Estimate what is left of a comparison.

    Raises:
        UserError: It cannot be run as it is configured, or the GPUs are not known.
    """
    options = options_of(config, project, request)
    plans: dict[str, Plan] = {}
    texts: dict[str, Range | None] = {}
    for name, own in options.items():
        settings = limited(settings_for(config, request, {name: own}), project, request)
        if own is not None:
            plans[name] = make_plan(settings, project)
        found = TextTokens(settings, project, plans.get(name)).of_arm(name)
        share = affordable_share(plans.get(name), request)
        texts[name] = found.times(share) if found and share < 1 else found
    whole = settings_for(config, request, options)
    study = find_comparison(config, project, request)
    points = study.points if study else _estimated(whole, request, texts)
    finished = {each.name: look_at(study, each) for each in points} if study else {}
    section, problems = forecast_points(whole, project, study, points, finished, gpus)
    training = TrainingForecast(whole.train.model, whole.train.gpu_hour_usd, (section,), ())
    by_name = {run.name: run for run in section.runs}
    done = {name for name, each in finished.items() if each}

    def row(name: str) -> RecipeForecast:
        plan = plans.get(name)
        to_do = plan.forecast.to_do if plan else None
        own = [each.name for each in points if each.arm == name]
        runs = [by_name[each] for each in own]
        return RecipeForecast(
            recipe=name,
            tokens=texts.get(name),
            calls=to_do.calls if to_do else NONE,
            cost_usd=to_do.cost_usd if to_do else NONE,
            generation_hours=plan.hours if plan and plan.forecast.to_do.calls.high else NONE,
            models=len(own),
            done=len(done.intersection(own)),
            training_hours=total(run.hours for run in runs),
            training_usd=total(run.cost_usd for run in runs),
        )

    warnings = [line for plan in plans.values() for line in _relevant(plan, request)]
    return ComparisonForecast(
        request=request,
        recipes=tuple(map(row, (RAW_RECIPE, *options))),
        training=training,
        evaluation_hours=evaluation_hours(points, finished),
        warnings=tuple(
            dict.fromkeys(
                (*problems, *warnings, *_short(request, texts), *_money_warnings(plans, request))
            )
        ),
    )


def affordable_share(plan: Plan | None, request: ComparisonRequest) -> float:
    """Return the share of a recipe's texts that the money of the request buys, from 0 to 1."""
    if plan is None or request.cost_usd is None:
        return 1.0
    costs = all_texts_usd(plan)
    return min(1.0, request.cost_usd / costs) if costs else 1.0


def all_texts_usd(plan: Plan) -> float:
    """Return the dollars of the calls of a plan, completed ones and those to do."""
    to_do = plan.forecast.to_do.cost_usd
    return plan.completed.known_usd + (to_do.expected if to_do else 0.0)


def _money_warnings(plans: Mapping[str, Plan], request: ComparisonRequest) -> Iterator[str]:
    """Yield which recipes cannot spend the money, and which calls have no price."""
    for name, plan in plans.items() if request.cost_usd is not None else ():
        if (unpriced := plan.completed.unpriced) > 0:
            yield f"{name}: {plural(unpriced, 'completed call')} without a price, counted as free"
        costs = plan.forecast.uncut.cost_usd
        whole = plan.completed.known_usd + (costs.high if costs else math.inf)
        if whole < (request.cost_usd or 0.0):
            yield (
                f"{name}: all of its texts cost about {dollars(whole)} at most, less than the "
                f"{dollars(request.cost_usd or 0.0)} of the comparison"
            )


def _estimated(
    config: Config, request: ComparisonRequest, texts: Mapping[str, Range | None]
) -> tuple[StudyPoint, ...]:
    sizes = {
        name: request.size or max(1, round(each.expected if each else 0))
        for name, each in texts.items()
    }
    return points_of(sizes, config.train.seed, request.seeds)


def _relevant(plan: Plan, request: ComparisonRequest) -> list[str]:
    """Return the warnings of a plan, but not that the money of the request ends it."""
    if request.cost_usd is None:
        return list(plan.warnings)
    return [each for each in plan.warnings if "generate.max_cost_usd" not in each]


def _short(request: ComparisonRequest, texts: Mapping[str, Range | None]) -> list[str]:
    size = request.size
    if size is None:
        return []
    return [
        f"{name}: about {each.expected:,.0f} tokens of text, less than the {size:,} of the others; "
        f"they are read about {request.epochs * size / max(1.0, each.expected):.1f} times"
        for name, each in texts.items()
        if each is not None and each.high < size
    ]
