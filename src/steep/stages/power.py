"""How many questions and documents detect a difference, from what a project has; nothing is asked.

steep questions --power 5
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from steep.config import Config
from steep.core.artifacts import Artifact, Project
from steep.core.errors import UserError
from steep.documents.store import documents_of
from steep.evaluation.config import BASE
from steep.evaluation.setup import EvaluationSetup
from steep.stages import documents as documents_stage
from steep.stages.evaluate import find_rows, setup_of

if TYPE_CHECKING:
    from steep.evaluation.power import ObservedSpread, PowerPlan
    from steep.evaluation.question_set import QuestionSet
    from steep.evaluation.questions import Question


def plan_power(config: Config, project: Project, difference_points: float) -> PowerPlan:
    """Return how many documents and questions detect a difference of so many points.

    The spread of differences is that of the project's latest evaluation, or else assumed.

    Raises:
        UserError: The difference is not between 0 and 100 points, or documents or questions cannot
            be read.
    """
    from steep.evaluation.power import (
        PowerPlan,
        SetSize,
        detectable,
        hardest_pair,
        needed_documents,
        planned_spreads,
    )
    from steep.evaluation.question_set import read_question_set
    from steep.evaluation.statistics import POWER

    _check_difference(difference_points)
    setup, difference = setup_of(config, project), difference_points / 100
    read = documents_stage.run(config, project)
    found = read_question_set(setup, read, check_length=False)
    names = [BASE, *setup.arms, *setup.evaluate.servers]
    comparisons = max(1, len(setup.planned_comparisons(names).pairs))
    observed = tuple(_observed(find_rows(config, project), setup, comparisons))
    hardest = hardest_pair(observed, difference, comparisons)
    spreads = planned_spreads(hardest)
    short = found is not None and (
        not found.questions or (hardest is not None and hardest.short_answers)
    )
    asked = _present(found, short)
    by_document = Counter(each.document_id for each in asked)
    size = SetSize.of([*by_document.values()]) if by_document else None
    return PowerPlan(
        difference=difference,
        power=POWER,
        comparisons=comparisons,
        documents=len({each.whole_id for each in documents_of(read)}),
        asked_documents=len(by_document),
        questions=len(asked),
        short_answers=short,
        not_counted=None if found is None else _not_counted(found, asked),
        observed=observed,
        hardest=hardest,
        spreads=spreads,
        detectable=tuple(size and detectable(each, size, comparisons) for each in spreads),
        needed=needed_documents(spreads, difference, comparisons),
    )


def _check_difference(difference_points: float) -> None:
    if not 0 < difference_points < 100:
        raise UserError(
            "A difference of accuracies is between 0 and 100 points.",
            where="--power",
            expected="a number of percentage points, e.g. 5",
            found=f"{difference_points:g}",
        )


def _present(found: QuestionSet | None, short: bool) -> Sequence[Question]:
    """Return the questions that count: those with short answers, or else with options."""
    if found is None:
        return ()
    return found.short if short else found.questions


def _not_counted(found: QuestionSet, asked: Sequence[Question]) -> dict[str, int]:
    """Count the other questions of the file by reason."""
    ids = {each.id for each in asked}
    why = {each.id: "by another method" for each in (*found.questions, *found.short)}
    why |= {each.question_id: each.reason for each in found.skipped}
    return dict(Counter(reason for id_, reason in why.items() if id_ not in ids))


def _observed(
    rows: Sequence[Artifact], setup: EvaluationSetup, comparisons: int
) -> Iterator[ObservedSpread]:
    """Yield the spread of each planned pair, by the first metric of each method."""
    from steep.evaluation.compare import planned_differences
    from steep.evaluation.eval_models import name_of
    from steep.evaluation.methods.judged_answers import STAGE as VERDICTS
    from steep.evaluation.methods.registry import graded_of
    from steep.evaluation.methods.short_answers import STAGE as WRITTEN
    from steep.evaluation.power import ObservedSpread

    stages: dict[str, dict[str, Artifact]] = {}
    for artifact in rows:
        if graded_of(artifact, setup):
            stages.setdefault(artifact.stage, {})[name_of(artifact)] = artifact
    for stage, by_model in stages.items():
        graded = {name: graded_of(artifact, setup) for name, artifact in by_model.items()}
        metric = next(iter(next(iter(graded.values()))))
        grades = {name: own[metric].grades for name, own in graded.items()}
        for pair in planned_differences(grades, setup.planned_comparisons(grades)):
            yield ObservedSpread(
                metric=metric,
                short_answers=stage in (WRITTEN, VERDICTS),
                a=pair.a,
                b=pair.b,
                documents=len({*pair.document_ids}),
                questions=len(pair.values),
                spread=pair.spread(),
                detectable=pair.detectable(comparisons),
            )
