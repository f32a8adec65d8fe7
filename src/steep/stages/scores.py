"""From the artifacts of an evaluation to `scores.json`: rows are all that is needed.

`steep evaluate` and `steep evaluate --rescore` both end here, so a table can be computed again at
any time, under another normalizer, parser or vote, with no model and no question asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from steep.config import Config
from steep.core.artifacts import Artifact
from steep.core.calls import RAW_RECIPE
from steep.evaluation.answer_rows import read_answers
from steep.evaluation.compare import Grade
from steep.evaluation.open_book import open_book_table, read_retrieval
from steep.evaluation.protocols import Protocol
from steep.evaluation.rows import read_rows
from steep.evaluation.statistics import finite
from steep.evaluation.tables import (
    answer_grades,
    answers_table,
    likelihood_grades,
    likelihood_table,
    short_answers_table,
)
from steep.stages import closed_book, document_index, forgetting, instruct, open_book, summaries
from steep.stages.eval_models import name_of
from steep.stages.question_set import ASKING, protocol_of
from steep.training.models import BASE

Rows = TypeVar("Rows")


def tables(made: Sequence[Artifact], config: Config) -> dict[str, Any]:
    """The tables of those ways of asking of which there are rows."""
    found: dict[str, Any] = {}
    for name, (stage, table) in TABLES.items():
        artifacts = [artifact for artifact in made if artifact.stage == stage]
        if artifacts:
            found[name] = table(artifacts, made, config)
    whole: dict[str, Any] = finite(found)
    return whole


def planned_pairs(config: Config, models: Iterable[str]) -> set[tuple[str, str]]:
    """The comparisons that a study of arms is made for, known before any result.

    Each model against the base, and each arm that reads synthetic texts against each that reads
    the raw documents alone, both tuned on chats or neither. All other pairs are shown, too, but
    were not planned.
    """
    others = [name for name in models if name != BASE]
    reads = {name: config.train.arms.get(name.removesuffix(instruct.SUFFIX)) for name in others}
    raw = [name for name in others if reads[name] == (RAW_RECIPE,)]
    synthetic = [name for name in others if reads[name] and name not in raw]
    return {(name, BASE) for name in others} | {
        (a, b)
        for a in synthetic
        for b in raw
        if a.endswith(instruct.SUFFIX) == b.endswith(instruct.SUFFIX)
    }


def _by_model(artifacts: Sequence[Artifact], read: Callable[[Path], Rows]) -> dict[str, Rows]:
    """The rows of each model."""
    return {name_of(each): read(each.path / closed_book.ROWS_NAME) for each in artifacts}


def _likelihood(
    artifacts: Sequence[Artifact], made: Sequence[Artifact], config: Config
) -> dict[str, Any]:
    rows = _by_model(artifacts, read_rows)
    return likelihood_table(rows, config.evaluate.normalizer, planned_pairs(config, rows))


def _answers(
    artifacts: Sequence[Artifact], made: Sequence[Artifact], config: Config
) -> dict[str, Any]:
    rows = _by_model(artifacts, read_answers)
    table = answers_table(rows, _as_asked(artifacts[0], config), planned_pairs(config, rows))
    without = {name_of(each): each.manifest.get("asked_without") for each in artifacts}
    for model in table["models"]:
        if without[model["name"]]:
            model["asked_without"] = without[model["name"]]
    return table


def _as_asked(artifact: Artifact, config: Config) -> Protocol:
    """The protocol: asked as the rows tell, counted as the configuration says."""
    fields = artifact.manifest["identity"]["fields"]
    asked = {name: fields[f"evaluate.{name}"] for name in ASKING}
    return replace(protocol_of(config.evaluate), **asked)


def _short(
    artifacts: Sequence[Artifact], made: Sequence[Artifact], config: Config
) -> dict[str, Any]:
    gold = {
        name_of(each): read_rows(path)
        for each in artifacts
        if (path := each.path / closed_book.GOLD_NAME).is_file()
    }
    rows = _by_model(artifacts, read_answers)
    return short_answers_table(rows, gold, planned_pairs(config, rows))


def _open_book(
    artifacts: Sequence[Artifact], made: Sequence[Artifact], config: Config
) -> dict[str, Any]:
    cells = [open_book.cell_of(artifact, config) for artifact in artifacts]
    method = artifacts[0].manifest["identity"]["fields"]["open_book.method"]
    models = list(dict.fromkeys(cell.model for cell in cells))
    retrieved: dict[int, dict[str, Any]] = {}
    chunks: dict[int, dict[str, Any]] = {}
    for each in (artifact for artifact in made if artifact.stage == document_index.STAGE):
        rows = read_retrieval(each.path / document_index.ROWS_NAME)
        size = each.manifest["chunk_characters"]
        own = each.manifest["identity"]["fields"].get("arm")
        retrieved.setdefault(size, {}).update(dict.fromkeys([own] if own else models, rows))
        chunks[size] = {"chunks": each.manifest["chunks"], "blank": len(each.manifest["blank"])}
    closed, planned = _closed_grades(method, made, config), planned_pairs(config, models)
    table = open_book_table(cells, retrieved, closed, planned)
    for row in table["retrieval"]:
        row |= chunks[row["chunk_characters"]]
    levels = (open_book.chance_of(each) for each in artifacts)
    chance = next((level for level in levels if level is not None), None)
    return {"method": method, **table, "chance": chance}


def _closed_grades(
    method: str, made: Sequence[Artifact], config: Config
) -> Mapping[str, Sequence[Grade]]:
    """The closed-book grades that were found in the same way, to tell what retrieval adds."""
    if method == "likelihood":
        scored = [each for each in made if each.stage == closed_book.LIKELIHOOD]
        by_likelihood = _by_model(scored, read_rows).items()
        return {n: likelihood_grades(r, config.evaluate.normalizer) for n, r in by_likelihood}
    answered = [each for each in made if each.stage == closed_book.ANSWERS]
    protocol, by_answers = protocol_of(config.evaluate), _by_model(answered, read_answers).items()
    return {name: answer_grades(rows, protocol) for name, rows in by_answers}


def _summaries(
    artifacts: Sequence[Artifact], made: Sequence[Artifact], config: Config
) -> dict[str, Any]:
    return summaries.table(artifacts, [each for each in made if each.stage == summaries.AGREEMENT])


def _general_text(
    artifacts: Sequence[Artifact], made: Sequence[Artifact], config: Config
) -> dict[str, Any]:
    return forgetting.texts_table(artifacts)


def _tasks(
    artifacts: Sequence[Artifact], made: Sequence[Artifact], config: Config
) -> dict[str, Any]:
    return forgetting.tasks_table(artifacts)


Table = Callable[[Sequence[Artifact], Sequence[Artifact], Config], dict[str, Any]]
# The tables by their names in `scores.json`, and the stage whose rows each is made from.
TABLES: dict[str, tuple[str, Table]] = {
    "likelihood": (closed_book.LIKELIHOOD, _likelihood),
    "answers": (closed_book.ANSWERS, _answers),
    "short_answers": (closed_book.SHORT, _short),
    "open_book": (open_book.STAGE, _open_book),
    "summaries": (summaries.JUDGED, _summaries),
    "general_text": (forgetting.TEXTS, _general_text),
    "tasks": (forgetting.TASKS, _tasks),
}
