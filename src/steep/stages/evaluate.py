"""Stage 6: checkpoints become scores."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steep.config import Config
from steep.core.artifacts import Artifact, Project
from steep.core.files import read_json, write_json
from steep.corpus.passage import PASSAGES_NAME, TextPlace, TextRow, stream_rows
from steep.evaluation.setup import STAGE, EvaluationSetup
from steep.evaluation.synthetic_texts import SyntheticTexts
from steep.generation.setup import project_budget
from steep.ledger.ledger import open_ledger
from steep.llm.model_names import model_directory
from steep.stages import documents as documents_stage
from steep.stages import instruct

if TYPE_CHECKING:
    from steep.evaluation.plan import EvaluationPlan
    from steep.evaluation.results import Scores

POINTER_NAME = "evaluated.json"  # in the run's directory: the name of its latest evaluation


def setup_of(config: Config, project: Project) -> EvaluationSetup:
    """Return what an evaluation takes of a configuration."""
    reads = config.train.reads
    arms = {name: reads[model.arm] for name, model in config.train.models.items()}
    tuned = {f"{name}{instruct.SUFFIX}": arms[name] for name in instruct.models_of(config)}
    return EvaluationSetup(
        project=project,
        evaluate=config.evaluate,
        open_book=config.open_book,
        summaries=config.summaries,
        forgetting=config.forgetting,
        base_name=config.train.model,
        base_directory=partial(model_directory, config.train.model, project),
        arms={**arms, **tuned},
        seeds=_seeds(config),
        tuned=frozenset(tuned),
        replayed=config.tokenize.replay if config.train.replay_rate else None,
        max_cost_usd=config.generate.max_cost_usd,
        open_budget=partial(project_budget, config.generate),
        contamination=config.contamination,
        faithfulness=config.faithfulness,
    )


def _seeds(config: Config) -> dict[str, tuple[str, ...]]:
    """Return the models of each arm, and the tuned ones of each tuned arm."""
    models = config.train.models
    found = {
        arm: tuple(n for n, own in models.items() if own.arm == arm) for arm in config.train.arms
    }
    tuned = instruct.models_of(config)
    suffix = instruct.SUFFIX
    return found | {
        f"{arm}{suffix}": tuple(f"{name}{suffix}" for name in names)
        for arm, names in found.items()
        if arm in tuned
    }


def texts_of(corpus: Artifact) -> SyntheticTexts:
    """Return the passages of a corpus, to be read lazily."""
    path = corpus.path / PASSAGES_NAME
    return SyntheticTexts(
        corpus,
        lambda: ((row.id, row.recipe, row.text) for row in stream_rows(path, TextRow)),
        lambda: (
            (row.id, row.recipe, row.document_id, row.rank) for row in stream_rows(path, TextPlace)
        ),
    )


def check(config: Config, project: Project, documents: Artifact) -> None:
    """Check questions and settings, before anything is spent.

    Raises:
        UserError: The evaluation cannot be run as it is configured.
    """
    from steep.evaluation import run

    run.check(setup_of(config, project), documents)


def run(
    config: Config,
    project: Project,
    documents: Artifact,
    trained: Mapping[str, Artifact],
    corpus: Artifact | None = None,
) -> Artifact | None:
    """Ask all models everything that is configured, and compare them; None if nothing is."""
    from steep.evaluation.run import evaluate

    texts = texts_of(corpus) if corpus is not None else None
    artifact = evaluate(setup_of(config, project), documents, trained, texts)
    if artifact is not None:
        write_json(_pointer(config, project), {STAGE: artifact.path.name})
    return artifact


def rescore(config: Config, project: Project) -> Scores:
    """Return the tables of the run's latest evaluation, computed again from its rows alone.

    Raises:
        UserError: The run has not been evaluated, or rows of the evaluation are missing.
    """
    from steep.evaluation import run

    return run.rescore(setup_of(config, project), _evaluated(config, project))


def results_of(config: Config, project: Project, question_id: str) -> dict[str, Any]:
    """Return a question of the latest evaluation, with the results of every model.

    Raises:
        UserError: The run has not been evaluated, or the question was not asked.
    """
    from steep.evaluation.methods.registry import results_of
    from steep.evaluation.run import rows_of

    rows = rows_of(project, _evaluated(config, project))
    return results_of(setup_of(config, project), rows, question_id)


def plan_evaluation(config: Config, project: Project) -> EvaluationPlan:
    """Plan what an evaluation sends, without sending or writing anything.

    Raises:
        UserError: There are no documents.
    """
    from steep.evaluation import plan

    setup = setup_of(config, project)
    if not plan.asks_anything(setup):
        return plan.EvaluationPlan()
    with tempfile.TemporaryDirectory() as folder, open_ledger(project) as ledger:
        documents = documents_stage.run(config, Project(Path(folder)))
        return plan.plan_evaluation(setup, documents, ledger)


def find_rows(config: Config, project: Project) -> list[Artifact]:
    """Return the artifacts of rows of the run's latest evaluation; none without one."""
    if not (_pointer(config, project).is_file() or project.finished(STAGE)):
        return []
    from steep.evaluation.run import rows_of

    return rows_of(project, _evaluated(config, project))


def _evaluated(config: Config, project: Project) -> Artifact:
    from steep.evaluation.run import find_evaluation

    pointer = _pointer(config, project)
    name = read_json(pointer)[STAGE] if pointer.is_file() else None
    return find_evaluation(project, name)


def _pointer(config: Config, project: Project) -> Path:
    return project.run_directory(config.name) / POINTER_NAME
