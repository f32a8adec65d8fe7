"""Export a trained model as a Hugging Face directory with a model card."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steep import __version__
from steep.config import Config
from steep.core.artifacts import Artifact, Project, Unfinished
from steep.core.files import check_free_disk, read_json, write_json, write_text
from steep.core.formatting import plural
from steep.stages import documents as documents_stage
from steep.stages import evaluate
from steep.stages.base_models import BaseModel, describe_base
from steep.stages.export_corpus import languages_of
from steep.stages.export_directory import check_export_directory, copy_files
from steep.stages.finished_artifacts import without_log_lines
from steep.stages.pipeline import PipelineRun
from steep.stages.run_record import resolved, run_record
from steep.stages.trained_models import TrainedModel, choose_model
from steep.training.serving import ServedModel, evaluation_settings, served_model, vllm_command

if TYPE_CHECKING:
    from steep.report.model_card import TrainingFacts
    from steep.report.run_data import ReportData

MARK = "steep-model.json"  # in a directory that an export has written, with the names of its files
CARD = "README.md"


@dataclass(frozen=True, slots=True)
class ExportedModel:
    """A written directory and how to serve it.

    Attributes:
        model: The exported model.
        directory: The Hugging Face directory.
        files: The names of all files in it that the export has written.
        size: Of these files, in bytes.
        kind: Whether it is a chat model, in sentences.
        has_scores: Whether the card has results.
        unknown_licenses: Whose license is unknown: the model's, the texts'.
        vllm: The command that serves it.
        evaluation: The section of a configuration that evaluates the served model.
    """

    model: TrainedModel
    directory: Path
    files: Sequence[str]
    size: int
    kind: str
    has_scores: bool
    unknown_licenses: Sequence[str]
    vllm: str
    evaluation: str


def run(
    config: Config,
    project: Project,
    target: Path | None,
    name: str | None,
    license: str | None = None,
    corpus_license: str | None = None,
    *,
    with_documents: bool = False,
) -> ExportedModel:
    """Copy a trained model with a model card.

    Args:
        config: The configuration.
        project: The project.
        target: A new or empty directory, or one of an earlier export, which is updated; by default
            in the run's directory.
        name: Of the model; None where there is only one.
        license: Of the model; by default that of the base model.
        corpus_license: Of the documents and the synthetic texts.
        with_documents: Whether the card lists the titles of the documents.

    Raises:
        UserError: The model is not trained, the directory holds other files, or the disk is full.
    """
    from steep.report.model_card import UNKNOWN_LICENSE, CardLicenses

    model = choose_model(config, project, name)
    directory = target or project.run_directory(config.name) / f"export-{model.name}"
    check_export_directory(directory, MARK)
    base = describe_base(config, project)
    served = served_model(model.directory, f"{config.name}-{model.name}")
    known = license or base.license or UNKNOWN_LICENSE
    licenses = CardLicenses(
        known, base.license or UNKNOWN_LICENSE, corpus_license or UNKNOWN_LICENSE
    )
    data = read_run(config, project, model)
    card = _card(config, project, model, data, base, served, licenses, with_documents)
    files = _write(model.directory, directory, card)
    unknown = {
        "the model (--license)": licenses.model,
        "its texts (--corpus-license)": licenses.texts,
    }
    return ExportedModel(
        model,
        directory,
        files,
        sum((directory / each).stat().st_size for each in files),
        describe_kind(model, served),
        bool(data.tables),
        [what for what, found in unknown.items() if found == UNKNOWN_LICENSE],
        vllm_command(directory, served),
        evaluation_settings(served.name, "http://localhost:8000/v1"),
    )


def _write(source: Path, directory: Path, card: str) -> list[str]:
    """Copy the files of a model and write its card; return the names of all of them.

    Files of an earlier export that the model does not have are deleted.
    """
    sources = sorted(
        each
        for each in source.iterdir()
        if each.is_file() and each.name[0] != "." and each.name != CARD
    )
    files = [CARD, MARK, *(each.name for each in sources)]
    check_free_disk(directory / CARD, sum(each.stat().st_size for each in sources))
    directory.mkdir(parents=True, exist_ok=True)
    mark = directory / MARK
    earlier: list[str] = read_json(mark)["files"] if mark.is_file() else []
    write_json(mark, {"kind": "model", "steep": __version__, "files": sorted({*earlier, *files})})
    copy_files(sources, directory)
    for old in set(earlier) - set(files):
        (directory / old).unlink(missing_ok=True)
    write_text(directory / CARD, card)
    write_json(mark, {"kind": "model", "steep": __version__, "files": files})
    return files


def read_run(config: Config, project: Project, model: TrainedModel) -> ReportData:
    """Return what a report would show of the project; scores only when all models have them."""
    from steep.report.run_data import load_run

    found = model.found
    made: dict[str, Any] = dict(found.before_shards)
    result = PipelineRun(
        documents=made["documents"],
        generate=made.get("generate"),
        corpus=made.get("corpus"),
        tokenize=found.shards,
        train=found.trained,
        instruct=found.tuned,
    )
    if set(found.trained) == set(config.train.models):
        looking = replace(project, finished_only=True)
        with without_log_lines(), suppress(Unfinished):
            result.evaluate = evaluate.run(
                config, looking, result.documents, result.trained, result.corpus
            )
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        write_text(directory / "config.yaml", resolved(config))
        write_json(directory / "run.json", run_record(config, project, result))
        return load_run(project.root, directory)


def _card(
    config: Config,
    project: Project,
    model: TrainedModel,
    data: ReportData,
    base: BaseModel,
    served: ServedModel,
    licenses: Any,
    with_documents: bool,
) -> str:
    from steep.report.model_card import ModelCard, card_text

    titles = list(data.documents.titles.values()) if with_documents and data.documents else []
    return card_text(
        ModelCard(
            run=data,
            title=served.name,
            model=model.name,
            trained=model.trained.manifest["arm"],
            base=base.name,
            base_on_hub=base.hub_name is not None,
            licenses=licenses,
            languages=languages_of(documents_stage.peek(config, project)),
            titles=titles,
            kind=describe_kind(model, served),
            facts=_facts(model, base),
            vllm=vllm_command("PATH_OR_NAME", served),
            chat=model.tuned is not None,
        )
    )


def describe_kind(model: TrainedModel, served: ServedModel) -> str:
    """Return whether a model is a chat model, in sentences."""
    if model.tuned is not None:
        return "It was then tuned on chats: it is a chat model."
    if model.trained.manifest["identity"]["fields"].get("train.add_task_vector"):
        return "The difference of an instruct model was added to it, so that it answers chats."
    if served.has_template:
        return (
            "It continues text. Its base model has a chat template, so it still takes chats, but "
            "continued pretraining trains on none, and some of this ability may be lost."
        )
    return "It continues text and is no chat model: give it the beginning of a text."


def _facts(model: TrainedModel, base: BaseModel) -> TrainingFacts:
    from steep.report.model_card import TrainingFacts
    from steep.training.loading import load_model_config
    from steep.training.metrics import read_starts
    from steep.training.model_dims import empty_model, shape_of

    starts = read_starts(model.artifact.path)
    devices = list(dict.fromkeys(_devices(each) for each in starts))
    tuned = model.tuned
    return TrainingFacts(
        settings=_settings(model.trained, base) | (_settings(tuned, base) if tuned else {}),
        hardware=", then ".join(devices) or "unknown",
        precision=str(starts[-1]["compute"]) if starts else "unknown",
        parameters=shape_of(empty_model(load_model_config(model.directory))).parameter_count,
        artifact=model.artifact.path.name,
        steep=str(model.artifact.manifest["steep"]),
        wall_s=sum(each.manifest["wall_s"] for each in (model.trained, tuned) if each),
        tuned_on=tuned.manifest["tokens"] if tuned else None,
    )


def _devices(start: dict[str, Any]) -> str:
    ranks = int(start["ranks"])
    return f"{plural(ranks, 'rank')} on {start['device']}" if ranks > 1 else str(start["device"])


def _settings(artifact: Artifact, base: BaseModel) -> dict[str, Any]:
    """Return the settings that decide the weights, without local paths and unused ones."""
    fields = dict(artifact.manifest["identity"]["fields"])
    del fields["arm"]
    if fields.get("train.epochs") is not None:
        del fields["train.tokens"]
    if "train.model" in fields:
        fields["train.model"] = base.name
    if vector := fields.get("train.add_task_vector"):
        fields["train.add_task_vector"] = Path(vector).name
    return {name: value for name, value in fields.items() if value is not None}
