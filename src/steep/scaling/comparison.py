"""Recipes by one metric: accuracies, and paired differences between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from steep.core.calls import RAW_RECIPE
from steep.evaluation.config import BASE
from steep.evaluation.methods.common import Graded
from steep.scaling.comparison_results import MetricComparison, RecipeDifference, RecipeScore
from steep.scaling.results import Bounded, per_point
from steep.scaling.study import ModelGrades, StudyPoint

Place = tuple[str, int]  # a recipe and its size


def compare_recipes(
    metric: str,
    planned: Sequence[StudyPoint],
    graded: Mapping[str, Graded],
    costs_usd: Mapping[str, float | None],
) -> MetricComparison:
    """Compare recipes by one metric. A recipe with missing models has no gains.

    Intervals are over documents and seeds, as in a scaling study.

    Args:
        metric: Its name.
        planned: All points: those of the documents, and one size per recipe.
        graded: The grades of the base (`BASE`) and of each point's model that is finished.
        costs_usd: The cost of the texts of each recipe; None if it is unknown.
    """
    grades = ModelGrades({name: each.grades for name, each in graded.items()})
    of_place: dict[Place, list[StudyPoint]] = {}
    for point in planned:
        of_place.setdefault((point.arm, point.tokens), []).append(point)
    done = {
        place: own
        for place, points in of_place.items()
        if (own := [each for each in points if each.name in graded])
    }
    whole = {
        place: [each.name for each in own]
        for place, own in done.items()
        if len(own) == len(of_place[place])
    }
    recipes = [place for place in of_place if place[0] != RAW_RECIPE]

    def gain(place: Place, over: Place | None) -> Bounded | None:
        if place == over or place not in whole or over not in whole:
            return None
        return grades.difference(whole[place], whole[over])

    scores = []
    for place, own in done.items():
        names, (recipe, size) = [each.name for each in own], place
        is_raw = recipe == RAW_RECIPE
        over_documents = None if is_raw else gain(place, (RAW_RECIPE, size))
        scores.append(
            RecipeScore(
                recipe=recipe,
                size=size,
                models=len(own),
                accuracy=grades.mean(names),
                by_seed={each.seed: float(grades.of([each.name]).mean()) for each in own},
                over_base=grades.difference(names, [BASE]) if place in whole else None,
                over_documents=over_documents,
                over_first=None if is_raw else gain(place, recipes[0]),
                usd_per_point=_usd_per_point(costs_usd.get(recipe), over_documents),
            )
        )
    complete = [place for place in recipes if place in whole]
    return MetricComparison(
        metric=metric,
        chance=graded[BASE].chance,
        questions=len(grades.documents),
        left_out=grades.left_out,
        documents=len(set(grades.documents)),
        base=grades.mean([BASE]),
        scores=tuple(scores),
        differences=tuple(
            RecipeDifference(
                recipe=later[0],
                over=earlier[0],
                points=grades.difference(whole[later], whole[earlier]),
            )
            for earlier, later in combinations(complete, 2)
        ),
    )


def _usd_per_point(cost_usd: float | None, gained: Bounded | None) -> float | None:
    if cost_usd is None or gained is None or (found := per_point(cost_usd, gained)) is None:
        return None
    return found.value
