"""The result of a comparison of recipes, from the finished points; nothing is trained or asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from steep.config import Config
from steep.core.artifacts import Artifact, Identity, Project, build
from steep.core.errors import UserError
from steep.core.files import write_json, write_text
from steep.corpus.diversity_result import DISTINCT_N
from steep.corpus.passage import PASSAGES_NAME, FullText, stream_rows
from steep.evaluation.config import BASE
from steep.evaluation.environment import environments_of
from steep.evaluation.protocols import reading_fields
from steep.evaluation.results import as_json
from steep.report.render import comparison_page
from steep.scaling.comparison import compare_recipes
from steep.scaling.comparison_results import (
    POINTER_NAME,
    RESULT_NAME,
    STAGE,
    ComparedTexts,
    ComparisonResult,
    read_comparison,
)
from steep.scaling.study import StudyPoint
from steep.stages import documents as documents_stage
from steep.stages.compare import ComparisonStudy, find_comparison
from steep.stages.compare_texts import ComparisonRequest
from steep.stages.scale import FinishedPoint
from steep.stages.scale_result import device_hours, finished_points, graded_by_metric
from steep.tokens.build import SUBSET_NAME, is_held_out

VERSION = 4
PAGE_NAME = "comparison.html"  # in the run's directory


def finished_comparison(
    config: Config, project: Project, request: ComparisonRequest
) -> ComparisonStudy:
    """Return the comparison, without generating, tokenizing, training or asking.

    Raises:
        UserError: Its texts are not tokenized, so nothing of it is finished.
    """
    found = find_comparison(config, project, request)
    if found is None:
        raise UserError(
            "Nothing of the comparison is finished.",
            where=project.store,
            expected="tokenized texts, the base and points of the comparison",
            found="no tokenized texts of these recipes",
            hint="run steep compare without --result; --plan shows what it takes",
        )
    _ = found.question_set
    return replace(found, project=project)


def compare_points(study: ComparisonStudy) -> ComparisonResult:
    """Compare the recipes by all finished points, and keep the result.

    Raises:
        UserError: The base, or every point, is unfinished.
    """
    base, finished = finished_points(study, "No point of the comparison is finished.")
    artifacts = [*base, *(row for each in finished.values() for row in each.rows)]
    artifacts += [each.trained for each in finished.values()]

    def make(directory: Path) -> dict[str, Any]:
        rows = {BASE: base} | {name: each.rows for name, each in finished.items()}
        seconds = sum(artifact.manifest["wall_s"] for artifact in artifacts)
        texts = tuple(_texts(study, finished))
        costs = {each.recipe: each.generation_usd for each in texts}
        result = ComparisonResult(
            **asdict(study.request),
            models=len(finished),
            missing=tuple(each.name for each in study.points if each.name not in finished),
            hours=seconds / 3600,
            texts=texts,
            metrics=tuple(
                compare_recipes(metric, study.points, graded, costs)
                for metric, graded in graded_by_metric(rows, study.setup()).items()
            ),
            environments=environments_of(artifacts),
        )
        write_json(directory / RESULT_NAME, as_json(result))
        return {"models": len(finished), "planned": len(study.points)}

    costs = {name: each and each.cost_of(1.0) for name, each in study.spent.items()}
    fields = {
        **reading_fields(study.config.evaluate),
        **asdict(study.request),
        "points": [point.name for point in study.points],
        "costs": costs,
    }
    inputs = {f"{each.stage}-{each.hash8}": each for each in artifacts}
    made = build(study.project, Identity(STAGE, VERSION, fields, inputs), make, one_of_many=True)
    directory = study.project.run_directory(study.config.name)
    write_json(directory / POINTER_NAME, {STAGE: made.path.name})
    result = read_comparison(made.path / RESULT_NAME)
    series = {name: place for place, name in enumerate([BASE, *study.config.train.arms])}
    write_text(directory / PAGE_NAME, comparison_page(result, study.config.name, series))
    return result


def _texts(
    study: ComparisonStudy, finished: Mapping[str, FinishedPoint]
) -> Iterator[ComparedTexts]:
    """Yield the texts of each recipe, and of the documents at each size."""
    seen = set()
    for point in study.points:
        if (place := (point.arm, point.tokens)) in seen:
            continue
        seen.add(place)
        subset = study.subset(point) or study.run.tokenize[point.arm]
        tokens = int(subset.manifest["tokens"])
        trained = [
            finished[each.name].trained
            for each in study.points
            if (each.arm, each.tokens) == place and each.name in finished
        ]
        yield ComparedTexts(
            recipe=point.arm,
            size=point.tokens,
            texts=int(subset.manifest["passages"]),
            tokens=tokens,
            passes=study.request.epochs * point.tokens / tokens,
            training_tokens=int(trained[0].manifest["tokens"]) if trained else None,
            generation_usd=0.0 if point.matched else study.generation_usd(point.arm, tokens),
            training_hours=device_hours(study, trained) if trained else None,
            **_diversity(study, point, subset),
        )


def _diversity(study: ComparisonStudy, point: StudyPoint, subset: Artifact) -> dict[str, Any]:
    """Return the measures of diversity of the texts that a point reads."""
    from steep.corpus.diversity import measure

    chosen = None
    if not point.matched:
        chosen = set(np.load(subset.path / SUBSET_NAME).tolist())
    rows = stream_rows(study.corpus(point).path / PASSAGES_NAME, FullText)
    holdout = study.config.tokenize.holdout
    own = (row for row in rows if row.recipe == point.arm and not is_held_out(row, holdout))
    texts = (row for number, row in enumerate(own) if chosen is None or number in chosen)
    documents = documents_stage.load(study.run.documents)
    (found,) = measure(texts, documents, {}, {}, lambda _: {})
    return {
        "sampled_words": found.sampled_words,
        "compression_ratio": found.compression_ratio,
        "distinct_4grams": found.distinct[DISTINCT_N.index(4)],
    }
