"""Stage 6: checkpoints become scores: artifacts of rows for each model, and one of tables.

Each model is loaded once and asked everything: closed book, open book, summaries from memory, and
what it could do before. Rows are kept for good; tables are made from them (`scores.py`), so
`rescore` needs neither model nor question.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from steep.config import Config
from steep.core.artifacts import MANIFEST, Artifact, Identity, Project, build
from steep.core.errors import UserError
from steep.core.files import read_json, write_json
from steep.stages import callers, closed_book, forgetting, instruct, summaries
from steep.stages.callers import Callers
from steep.stages.eval_models import EvalModel, asked, eval_models
from steep.stages.question_set import (
    QuestionSet,
    asking_fields,
    check_protocol,
    protocol_of,
    read_question_set,
    reading_fields,
)
from steep.training.models import BASE

log = logging.getLogger("steep")

if TYPE_CHECKING:
    from steep.stages.document_index import DocumentIndex

VERSION = 4
POINTER_NAME = "evaluated.json"  # in the run's directory: which evaluation is its latest
STAGE = "evaluate"
SCORES_NAME = "scores.json"
SHOWN_SKIPPED = 5


def check(config: Config, project: Project, documents: Artifact) -> None:
    """Read the questions, so that bad ones are known before anything is spent.

    Raises:
        UserError: They cannot be read, none of them is about these documents, or a model that is
            to be asked is none.
    """
    _check_names(config)
    check_protocol(config.evaluate)
    for line in _who_sees(config):
        log.info("evaluate: %s", line)
    forgetting.check(config)
    summaries.check(config, documents)
    callers.check(config)
    question_set = read_question_set(config, project, documents)
    if question_set is None:
        if config.open_book.chunk_characters:
            raise UserError("An open book needs questions.", where="evaluate.questions")
        return
    for question_id, reason in question_set.skipped[:SHOWN_SKIPPED]:
        log.warning("  not asked: %s, %s", question_id, reason)
    if len(question_set.skipped) > SHOWN_SKIPPED:
        log.warning("  and %d more, see the report", len(question_set.skipped) - SHOWN_SKIPPED)
    if config.open_book.chunk_characters:
        from steep.stages import open_book

        open_book.check(config, question_set)


def run(
    config: Config, project: Project, documents: Artifact, trained: Mapping[str, Artifact]
) -> Artifact | None:
    """Ask base and arms everything that is configured, and compare; None where nothing is."""
    with Callers(config, project) as opened:
        return _run(config, project, documents, trained, opened)


def _run(
    config: Config,
    project: Project,
    documents: Artifact,
    trained: Mapping[str, Artifact],
    opened: Callers,
) -> Artifact | None:
    question_set = read_question_set(config, project, documents)
    study = (
        summaries.SummaryStudy(config, project, documents, opened)
        if config.summaries.references
        else None
    )
    made: list[Artifact] = [*study.judge()] if study else []
    everyone = eval_models(config, project, trained, opened)
    by_model: dict[str, list[Artifact]] = {}
    with _doc_index(config, project, question_set, opened) as doc_index:
        # What is behind a server comes first: that it cannot be asked is known within seconds.
        for eval_model in sorted(everyone, key=lambda each: each.server is None):
            with asked(eval_model):
                by_model[eval_model.name] = [
                    *_ask(question_set, eval_model, doc_index),
                    *(study.ask(eval_model) if study else ()),
                    *forgetting.run(eval_model),
                ]
    made += [artifact for eval_model in everyone for artifact in by_model[eval_model.name]]
    if not made:
        log.info("evaluate: nothing to ask, evaluate.questions is null")
        return None
    inputs = {f"{artifact.stage}-{artifact.hash8}": artifact for artifact in made}
    skipped = [each._asdict() for each in question_set.skipped] if question_set else []

    def make(directory: Path) -> dict[str, Any]:
        from steep.stages.scores import tables

        found = tables(list(inputs.values()), config)
        write_json(directory / SCORES_NAME, {**found, "skipped": skipped})
        counts = {
            "questions": len(question_set.questions) if question_set else 0,
            "skipped": len(skipped),
        }
        wall_s = sum(artifact.manifest["wall_s"] for artifact in inputs.values())
        return {"counts": counts, "skipped": skipped, "wall_s": wall_s}

    fields = reading_fields(config.evaluate)
    artifact = build(project, Identity(STAGE, VERSION, fields, inputs), make)
    pointer = project.run_directory(config.name) / POINTER_NAME
    write_json(pointer, {STAGE: artifact.path.name})
    return artifact


def rescore(config: Config, project: Project) -> dict[str, Any]:
    """Return the tables of the run's latest evaluation, computed again from its rows alone.

    What the configuration would ask otherwise is not asked, and said.

    Raises:
        UserError: The run has not been evaluated, or its rows are not there any more.
    """
    from steep.stages.scores import tables

    evaluated, made = _evaluated(config, project), evaluated_rows(config, project)
    log.info(
        "evaluate: tables are computed again from the rows of %s; nothing is asked",
        evaluated.path.name,
    )
    for line in _asked_otherwise(config, made):
        log.warning("evaluate: %s", line)
    return {**tables(made, config), "skipped": evaluated.manifest["skipped"]}


def evaluated_rows(config: Config, project: Project) -> list[Artifact]:
    """The artifacts that the run's latest evaluation was counted from.

    Raises:
        UserError: The run has not been evaluated, or they are not there any more.
    """
    names = _evaluated(config, project).manifest["identity"]["inputs"].values()
    return [_finished(project, str(name)) for name in names]


def _asked_otherwise(config: Config, made: Sequence[Artifact]) -> Iterator[str]:
    """In what these rows differ from what the configuration would ask."""
    wanted = asking_fields(protocol_of(config.evaluate), config.evaluate.seed)
    wanted |= {"evaluate.split": config.evaluate.split}
    said: dict[str, None] = {}
    for artifact in made:
        fields = artifact.manifest["identity"]["fields"]
        asked = {"evaluate.split": "all"} | fields if artifact.stage == closed_book.ANSWERS else {}
        for name, value in wanted.items():
            if name in asked and asked[name] != value:
                said[f"answers were asked with {name} {asked[name]!r}, not {value!r}"] = None
    yield from said


def _ask(
    question_set: QuestionSet | None, eval_model: EvalModel, doc_index: DocumentIndex | None
) -> list[Artifact]:
    """Everything that one model is asked."""
    made: list[Artifact] = []
    if question_set is not None:
        made += closed_book.run(question_set, eval_model)
        if doc_index is not None:
            from steep.stages import open_book

            made += open_book.run(question_set, eval_model, doc_index)
    return made


def _doc_index(
    config: Config, project: Project, question_set: QuestionSet | None, opened: Callers
) -> Any:
    """What is searched, where the run has an open book."""
    if question_set is None or not config.open_book.chunk_characters:
        return nullcontext()
    from steep.stages.document_index import DocumentIndex

    return DocumentIndex(config, project, question_set, opened)


def _who_sees(config: Config) -> Iterator[str]:
    """Which hosts will see what of the questions and documents; none where all is done here."""
    opened = config.open_book.chunk_characters
    texts = "the questions, and the passages found for them" if opened else "the questions"
    for used in callers.used_endpoints(config):
        host, name = _host(used.settings.base_url), used.section.rpartition(".")[2]
        if used.reads_only:
            part = name.removesuffix("_server")
            yield f"{host} will see the questions and all documents, in passages ({part})"
        elif used.section == "summaries.judge":
            yield f"{host} will see the summaries, and their documents whole (judge)"
        else:
            yield f"{host} will see {texts} (model '{name}')"


def _host(url: str) -> str:
    return urlsplit(url).hostname or url


def _check_names(config: Config) -> None:
    tuned = {f"{arm}{instruct.SUFFIX}" for arm in instruct.arms_of(config)}
    known = {BASE, *config.train.arms, *tuned, *config.evaluate.servers}
    for section in ("open_book", "summaries"):
        for name in getattr(config, section).models:
            if name not in known:
                raise UserError(
                    f"There is no model '{name}' to ask.",
                    where=f"{section}.models",
                    expected=", ".join(sorted(known)),
                    found=name,
                )


def _evaluated(config: Config, project: Project) -> Artifact:
    """The evaluation that this run made or found last, or else the newest of the project."""
    pointer = project.run_directory(config.name) / POINTER_NAME
    if pointer.is_file():
        return _finished(project, str(read_json(pointer)[STAGE]))
    if found := project.finished(STAGE):
        return found[-1]
    raise UserError(
        "This run has not been evaluated yet, so there are no answers to look at.",
        where=project.store,
        hint="run steep evaluate (without --rescore) or steep run first",
    )


def _finished(project: Project, name: str) -> Artifact:
    stage, _, hash8 = name.rpartition("-")
    if artifact := project.find(stage, hash8):
        return artifact
    raise UserError(
        "Rows of this evaluation are not there any more.",
        where=project.artifact_path(stage, hash8) / MANIFEST,
        hint="run steep evaluate without --rescore: it makes what is missing",
    )
