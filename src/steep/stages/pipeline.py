"""All stages in order: documents in, a report out."""

from __future__ import annotations

import gc
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from steep.config import Config
from steep.core.artifacts import Artifact, Project, remove_leftovers
from steep.core.files import write_json, write_text
from steep.core.progress import Progress, enter_stage, parts
from steep.core.ranks import ranks
from steep.stages import corpus, diversity, documents, evaluate, generate, instruct, tokenize, train

log = logging.getLogger("steep")

StageName = Literal[
    "documents", "generate", "corpus", "tokenize", "train", "instruct", "evaluate", "report"
]
STAGES: tuple[StageName, ...] = get_args(StageName)


@dataclass
class PipelineRun:
    """The artifacts of one run; those of stages that have not run are empty."""

    documents: Artifact
    generate: Artifact | None = None
    corpus: Artifact | None = None
    diversity: Artifact | None = None  # None in a process with other ranks
    tokenize: dict[str, Artifact] = field(default_factory=dict)
    train: dict[str, Artifact] = field(default_factory=dict)
    instruct: dict[str, Artifact] = field(default_factory=dict)
    evaluate: Artifact | None = None
    report: Path | None = None

    @property
    def trained(self) -> dict[str, Artifact]:
        """All trained models by the names that scores have, and their tuned forms."""
        tuned = {artifact.manifest["arm"]: artifact for artifact in self.instruct.values()}
        return self.train | tuned


def run(
    config: Config,
    project: Project,
    until: StageName = "report",
    wait: bool = True,
    retry_empty: bool = False,
) -> PipelineRun:
    """Run every stage up to `until`; finished stages log that and return at once.

    Args:
        config: The configuration.
        project: The directory of the project.
        until: The last stage.
        wait: Wait for the batches of a provider.
        retry_empty: Repeat the first step of a recipe for documents where its result was empty.

    Raises:
        UserError: An error that the user can correct. Finished artifacts are kept.
    """
    if not project.finished_only:
        with Progress("checking the settings", None, "settings"):  # it imports PyTorch
            _check(config, project, until)
    enter_stage("documents")
    result = PipelineRun(documents.run(config, project))
    if until == "documents":
        return result
    if _reaches(until, "evaluate") and not project.finished_only:
        with Progress("checking the questions", None, "questions"):
            evaluate.check(config, project, result.documents)
    enter_stage("generate")
    result.generate = generate.run(config, project, result.documents, wait, retry_empty)
    gc.collect()  # an embedded generator is gone before training needs the memory
    if until == "generate":
        return result
    enter_stage("corpus")
    result.corpus = corpus.run(config, project, result.documents, result.generate)
    if ranks() == 1:
        made = result.documents, result.generate, result.corpus
        result.diversity = diversity.run(project, *made)
    if until == "corpus":
        return result
    enter_stage("tokenize")
    result.tokenize = tokenize.run_all(config, project, result.corpus)
    if until == "tokenize":
        return result
    enter_stage("train")
    for name in parts("train", config.train.models, "models"):
        result.train[name] = train.run(config, project, result.tokenize, name)
        gc.collect()
    if until == "train":
        return result
    enter_stage("instruct")
    for name in parts("instruct", instruct.models_of(config), "models"):
        chats = result.tokenize[tokenize.CHATS]
        result.instruct[name] = instruct.run(config, project, result.train[name], chats, name)
        gc.collect()
    if until != "instruct":
        _after_training(config, project, result, until)
    return result


def _after_training(
    config: Config, project: Project, result: PipelineRun, until: StageName
) -> None:
    """Evaluate and write the report, in a process without other ranks."""
    if ranks() > 1:
        log.info("evaluation and report need a single process: run the same command without ranks")
        return
    enter_stage("evaluate")
    result.evaluate = evaluate.run(config, project, result.documents, result.trained, result.corpus)
    if until == "report":
        enter_stage("report")
        result.report = _report(config, project, result)


def _reaches(until: StageName, stage: StageName) -> bool:
    return STAGES.index(until) >= STAGES.index(stage)


def _check(config: Config, project: Project, until: StageName) -> None:
    """Report errors in the settings of late stages before early stages are paid for."""
    generate.check(config, project)
    if _reaches(until, "tokenize"):
        tokenize.check(config, project)
    elif "arms" in config.train.model_fields_set and (
        error := tokenize.unknown_source(config, project)
    ):
        log.warning("%s", error)  # texts may still be imported
    if _reaches(until, "train"):
        train.check(config, project)
        instruct.check(config)


def _report(config: Config, project: Project, result: PipelineRun) -> Path:
    from steep.report.render import render_report
    from steep.stages.run_record import resolved, run_record

    directory = project.run_directory(config.name)
    remove_leftovers(directory)
    write_text(directory / "config.yaml", resolved(config))
    write_json(directory / "run.json", run_record(config, project, result))
    for arm, artifact in result.trained.items():
        _link(directory / f"model-{arm}", artifact.path / "model")
    return render_report(project.root, directory)


def write_page(config: Config, project: Project, path: Path) -> None:
    """Write the page of the last run of this name, and nothing into the project.

    Raises:
        UserError: There is no such run, or one of its artifacts is missing.
    """
    from steep.report.render import page
    from steep.report.run_data import load_run

    write_text(path, page(load_run(project.root, project.run_directory(config.name))))


def _link(link: Path, target: Path) -> None:
    """Point a link in the run's directory at a trained model, atomically."""
    temporary = link.with_name(f".{link.name}.tmp")
    try:
        temporary.symlink_to(os.path.relpath(target, link.parent), target_is_directory=True)
        temporary.replace(link)
    except OSError as error:  # a disk without links, or a copied project with a folder in its place
        log.warning("report: no link to %s: %s", target, error.strerror)
        temporary.unlink(missing_ok=True)
