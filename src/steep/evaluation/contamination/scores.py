"""From rows of overlaps to the result: counts by measure, and the scores on clean questions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from steep.core.artifacts import Artifact
from steep.core.calls import RAW_RECIPE
from steep.core.files import read_rows
from steep.evaluation.compare import estimate, grouped
from steep.evaluation.contamination.artifact import (
    OVERLAPS_NAME,
    PARAPHRASE_STAGE,
    PROMPTS_NAME,
    STAGE,
)
from steep.evaluation.contamination.phrases import LENGTHS
from steep.evaluation.contamination.scan import measure_name
from steep.evaluation.contamination_results import (
    PARAPHRASE,
    CleanScore,
    ContaminationResult,
    MeasureCounts,
    Overlap,
    PromptCheck,
    PromptOverlap,
)
from steep.evaluation.methods.common import Graded
from steep.evaluation.setup import EvaluationSetup

# Of each method and model, the grades by metric.
Grades = Mapping[tuple[str, str], Mapping[str, Graded]]


def overlaps_of(artifacts: Iterable[Artifact]) -> list[Overlap]:
    """Read the overlaps in the artifacts of an evaluation."""
    own = [each for each in artifacts if each.stage in (STAGE, PARAPHRASE_STAGE)]
    return [row for each in own for row in read_rows(each.path / OVERLAPS_NAME, Overlap)]


def contamination_result(
    artifacts: Sequence[Artifact], grades: Grades, setup: EvaluationSetup
) -> ContaminationResult | None:
    """Compute the result; None if contamination was not checked."""
    by_stage = {each.stage: each for each in artifacts}
    if STAGE not in by_stage:
        return None
    made, embedded = by_stage[STAGE].manifest, by_stage.get(PARAPHRASE_STAGE)
    more = embedded.manifest if embedded else {}
    overlaps = overlaps_of(by_stage.values())
    names = [*map(measure_name, reversed(LENGTHS)), *([PARAPHRASE] if embedded else [])]
    by_measure = {name: [each for each in overlaps if each.measure == name] for name in names}
    contaminated = {name: _contaminated(rows) for name, rows in by_measure.items()}
    return ContaminationResult(
        questions=made["questions"],
        passages=made["passages"],
        sentences=more.get("sentences", 0),
        compared=more.get("compared", 0),
        embedder=more.get("embedder"),
        similarity=more.get("similarity"),
        read_by={
            recipe: tuple(arm for arm, own in setup.arms.items() if recipe in own)
            for recipe in made["recipes"]
        },
        measures=tuple(_counts(name, rows) for name, rows in by_measure.items()),
        found=tuple(_strongest(overlaps, names)),
        prompts=PromptCheck(
            calls=made["calls"],
            imported=made["imported"],
            found=tuple(read_rows(by_stage[STAGE].path / PROMPTS_NAME, PromptOverlap)),
            by_design=setup.contamination.recipes_with_questions,
        ),
        scores=tuple(_clean_scores(grades, contaminated)),
    )


def _contaminated(rows: Iterable[Overlap]) -> set[str]:
    return {row.question_id for row in rows if row.passages}


def _counts(measure: str, rows: Sequence[Overlap]) -> MeasureCounts:
    contaminated = _contaminated(rows)
    in_texts = {row.question_id for row in rows if row.recipe != RAW_RECIPE}
    own = grouped((row for row in rows if row.recipe != RAW_RECIPE), lambda row: row.recipe)
    return MeasureCounts(
        measure=measure,
        contaminated=len(contaminated),
        quoted=len(in_texts - contaminated),
        in_source=len({row.question_id for row in rows if row.recipe == RAW_RECIPE}),
        by_recipe={recipe: len(_contaminated(each)) for recipe, each in sorted(own.items())},
    )


def _strongest(overlaps: Iterable[Overlap], measures: Sequence[str]) -> Iterator[Overlap]:
    """Yield the strongest overlap of each contaminated question, the strongest first."""

    def strength(row: Overlap) -> tuple[int, int, float]:
        return -measures.index(row.measure), row.words, row.similarity or 0.0

    own = grouped((row for row in overlaps if row.passages), lambda row: row.question_id)
    best = [max(rows, key=strength) for rows in own.values()]
    yield from sorted(best, key=strength, reverse=True)


def _clean_scores(grades: Grades, contaminated: Mapping[str, set[str]]) -> Iterator[CleanScore]:
    for (method, model), by_metric in grades.items():
        for metric, graded in by_metric.items():
            yield CleanScore(
                method=method,
                metric=metric,
                model=model,
                everything=estimate(graded.grades),
                clean={
                    name: estimate(each for each in graded.grades if each.question_id not in ids)
                    for name, ids in contaminated.items()
                },
            )
