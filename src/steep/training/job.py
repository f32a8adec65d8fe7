"""A training run as plain data, and the function that runs it on any number of ranks.

    run_job(job)                       in this process, or in each process of torchrun or srun
    ray_train.run_on_ray(job, workers) the same function in the workers of a Ray cluster

A job consists of paths and numbers, so it can be sent to another machine on the same file system.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from steep.core.errors import UserError
from steep.core.ids import derive_seed
from steep.core.progress import Progress
from steep.tokens.mixture import Mixture, MixtureShare, ShareName
from steep.tokens.order import Stream
from steep.tokens.shard import TokenShard, check_embedding, check_tokenizer, open_shard
from steep.training.checkpoint_files import remove_checkpoints
from steep.training.config import OptimizationConfig
from steep.training.export import export_model
from steep.training.loading import load_model_config, load_tokenizer
from steep.training.loop import train
from steep.training.memory import check_disk, check_memory
from steep.training.metrics import StepMetrics, last_metrics, trackers
from steep.training.models import MODEL_NAME
from steep.training.parallel import World, connect, disconnect
from steep.training.prepare import resolve_auto
from steep.training.rank_loading import open_model

log = logging.getLogger("steep")

INTERIM_NAME = "model-without-task-vector"


@dataclass(frozen=True, slots=True)
class MixedShard:
    """A shard that is mixed into training, and its share of all rows."""

    shard: str
    rate: float


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """Everything that a rank needs."""

    label: str  # name of the run on the terminal and in trackers
    model: str  # Hugging Face directory or name of the base model
    directory: str  # directory of metrics, checkpoints and the trained model
    shard: str  # directory of the shard to learn
    shares: Mapping[ShareName, MixedShard]  # shards that are mixed in, by name
    validation: Mapping[str, str]  # directories of shards whose loss is measured, by name
    settings: OptimizationConfig
    steps: int  # optimizer steps of the whole run
    # add mixed-in rows to the rows of the corpus, or replace some of these
    replay_mode: Literal["add", "replace"] = "add"
    # file with the numbers of those texts of the shard that are learned; None: all
    subset: str | None = None
    # directory of an instruct model; its difference from `model` is added last
    add_task_vector: str | None = None
    # validation losses of `model`, if another run has measured them
    first_losses: Mapping[str, float] | None = None

    def mixture(self) -> Mixture:
        """Return the rows of the run."""
        return Mixture(
            corpus=replace(self._stream(self.shard, "corpus"), chosen=self._chosen()),
            shares=tuple(
                MixtureShare(name, self._stream(part.shard, name), part.rate)
                for name, part in self.shares.items()
            ),
            context_tokens=self.settings.context_tokens,
            replay_mode=self.replay_mode,
            isolate_documents=self.settings.isolate_documents,
        )

    def validation_mixtures(self) -> dict[str, Mixture]:
        """Return the rows of each validation set, in a fixed order."""
        return {
            name: Mixture(self._stream(shard, name), (), self.settings.context_tokens)
            for name, shard in self.validation.items()
        }

    def _chosen(self) -> NDArray[np.int64] | None:
        if self.subset is None:
            return None
        chosen: NDArray[np.int64] = np.load(self.subset)
        return chosen

    def _stream(self, shard: str, name: str) -> Stream:
        return Stream(open_shard(Path(shard)), derive_seed(self.settings.seed, name))


def run_job(job: TrainingJob) -> StepMetrics | None:
    """Train and export, or resume an interrupted run; called on every rank.

    Returns:
        The metrics of the last step, on the main rank.

    Raises:
        UserError: The model cannot be loaded or does not fit, or what `loop.train` raises.
    """
    world = connect()
    try:
        directory = Path(job.directory)
        if not (directory / MODEL_NAME).is_dir():  # else: killed after the export
            _train_and_export(job, directory, world)
        if not world.is_main:
            return None
        remove_checkpoints(directory)
        return last_metrics(directory)
    finally:
        disconnect(world)


def _train_and_export(job: TrainingJob, directory: Path, world: World) -> None:
    settings = resolve_auto(job.settings, world.device)
    tokenizer = load_tokenizer(job.model)
    mixture, validation = job.mixture(), job.validation_mixtures()
    streams = [mixture.corpus, *(share.stream for share in mixture.shares)]
    streams += [each.corpus for each in validation.values()]
    _check_fit(job, tokenizer, (stream.shard for stream in streams))
    estimate = check_memory(job.model, settings, world)
    check_disk(directory, estimate, settings)
    if world.is_main:
        log.info("%s: %s", job.label, estimate.line())
    opened = trackers(settings.trackers, directory, job.label) if world.is_main else nullcontext()
    shown = _TrainingProgress(job)
    with opened as track, shown.progress:
        model, fill = open_model(job.model, settings, world)
        module = train(
            model,
            mixture,
            settings,
            job.steps,
            directory,
            world,
            validation,
            shown.on_step,
            track or (lambda row, step: None),
            job.first_losses,
            fill,
            shown.on_part,
        )
    _export(job, module.model, tokenizer, directory, world)


def _export(job: TrainingJob, model: Any, tokenizer: Any, directory: Path, world: World) -> None:
    """Write the trained model; with a task vector, the first model is temporary."""
    final, interim = directory / MODEL_NAME, directory / INTERIM_NAME
    target = interim if job.add_task_vector else final
    export_model(model, tokenizer, target, world)
    if (instruct := job.add_task_vector) is not None:
        from steep.training.task_vector import add_task_vector

        def add() -> None:
            add_task_vector(interim, Path(job.model), Path(instruct), final)
            shutil.rmtree(interim)

        world.on_main(add)


def _check_fit(job: TrainingJob, tokenizer: Any, shards: Iterable[TokenShard]) -> None:
    config = load_model_config(job.model).get_text_config()
    longest = getattr(config, "max_position_embeddings", None)
    settings = job.settings
    if longest and settings.context_tokens > longest:
        raise UserError(
            "The context is longer than the model's.",
            where=f"{settings.section}.context_tokens",
            expected=f"at most {longest}",
            found=settings.context_tokens,
        )
    for shard in shards:
        check_tokenizer(shard, tokenizer)
        check_embedding(shard, tokenizer, config.vocab_size)


class _TrainingProgress:
    """Shows how far a run is: a step that takes long by its parts."""

    def __init__(self, job: TrainingJob) -> None:
        self.progress = Progress(job.label, job.steps, "steps")
        self._steps = job.steps
        self._facts: Mapping[str, str] = {}

    def on_part(self, steps: float) -> None:
        """Show that so many steps are done, with the part of the current one."""
        self.progress.update(steps, facts=self._facts)

    def on_step(self, metrics: StepMetrics) -> None:
        """Show the metrics of a step; the last ones stay."""
        self._facts = metrics.facts()
        self.on_part(metrics.step)
        if metrics.step == self._steps:
            self.progress.finish(metrics.line(self._steps))
