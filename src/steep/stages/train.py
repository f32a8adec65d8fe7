"""Stage 5: shards become a checkpoint; each arm starts from the same base, with equal tokens."""

from __future__ import annotations

import logging
import math
from collections.abc import Container, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steep.config import Config
from steep.core.artifacts import Artifact, Identity, Project, build
from steep.core.config import identity_fields
from steep.core.errors import UserError
from steep.stages.models import (
    BASE,
    check_model,
    check_safetensors,
    local_directory,
    model_directory,
)
from steep.stages.tokenize import CHATS, INSTRUCTION, REPLAY, VALIDATION
from steep.training.config import TrainConfig

log = logging.getLogger("steep")

if TYPE_CHECKING:
    from steep.training.job import ShareName, TrainingJob
    from steep.training.metrics import StepMetrics

VERSION = 2
MANY_PASSES = 200  # over the texts of an arm; more are hardly meant
MODEL_NAME = "model"
RESERVED = {BASE, REPLAY, INSTRUCTION, VALIDATION, CHATS}
# What the validation losses of an untrained model depend on; the seed orders the texts in the rows.
OF_FIRST_LOSSES = (
    "train.model", "train.context_tokens", "train.compute", "train.optimizer", "train.seed",
)  # fmt: skip


def run(config: Config, project: Project, shards: Mapping[str, Artifact], arm: str) -> Artifact:
    """Train one arm.

    Args:
        config: The configuration.
        project: Where things lie.
        shards: The arm's own shard, and those that are mixed in or watched, by name.
        arm: Its name.
    """
    settings, mixed = config.train, mixed_rates(config.train, shards)
    identity = identity_of(settings, shards, arm)

    def make(directory: Path) -> dict[str, Any]:
        from steep.training.job import SharePart, TrainingJob

        tokens = shards[arm].manifest["tokens"]
        steps = steps_of(settings, tokens, sum(mixed.values()))
        difference = settings.add_difference
        job = TrainingJob(
            label=f"train {arm}",
            model=str(model_directory(settings.model, project)),
            directory=str(directory),
            shard=str(shards[arm].path),
            shares={name: SharePart(str(shards[name].path), mixed[name]) for name in mixed},
            validation=_watched(shards),
            first_losses=_first_losses(project, identity, shards),
            settings=settings,
            steps=steps,
            replay_mode=settings.replay_mode,
            add_difference=str(local_directory(difference, project)) if difference else None,
        )
        watched = shards[VALIDATION].path.name if VALIDATION in shards else None
        return {"arm": arm, "validation": watched, **do(job, settings)}

    return build(project, identity, make, together=True)


def identity_of(settings: TrainConfig, shards: Mapping[str, Artifact], arm: str) -> Identity:
    """What decides the weights of a trained arm."""
    inputs = {"shard": shards[arm]}
    inputs |= {name: shards[name] for name in mixed_rates(settings, shards)}
    return Identity("train", VERSION, {"arm": arm, **identity_fields("train", settings)}, inputs)


def mixed_rates(settings: TrainConfig, there: Container[str]) -> dict[ShareName, float]:
    """The shares of rows that are mixed in, by name, as far as there is such a shard."""
    rates: dict[ShareName, float] = {
        REPLAY: settings.replay_rate,
        INSTRUCTION: settings.instruction_rate,
    }
    return {name: rate for name, rate in rates.items() if rate and name in there}


def check(config: Config, project: Project) -> None:
    """Refuse what cannot be trained, before anything is spent.

    Raises:
        UserError: Tokens for less than one batch, a name that an arm cannot have, no such model, a
            tracker that is not installed.
    """
    settings = config.train
    if settings.epochs is None:
        steps_of(settings, 0, 0.0)
    if taken := RESERVED & set(settings.arms):
        raise UserError(
            "An arm cannot have this name, which the results use for something else.",
            where="train.arms",
            expected=f"any name but {', '.join(sorted(RESERVED))}",
            found=", ".join(taken),
        )
    check_model(settings.model, project)
    if settings.add_difference:
        check_model(settings.add_difference, project)
        for name in (settings.model, settings.add_difference):
            check_safetensors(name, project)
    if settings.launcher == "ray":
        from steep.training.ray_train import check_ray_train

        check_ray_train()
    for section in (config.train, config.instruct):
        if section.trackers:
            from steep.training.metrics import check_trackers

            check_trackers(section.trackers)


def steps_of(settings: TrainConfig, corpus_tokens: int, mixed_rate: float) -> int:
    """How many optimizer steps `train.tokens` buys, or `train.epochs` passes over the corpus take.

    Args:
        settings: Of training.
        corpus_tokens: Of the arm's own shard.
        mixed_rate: Share of rows that are not from it.

    Raises:
        UserError: It is less than one batch.
    """
    batch_tokens = settings.batch_sequences * settings.context_tokens
    if settings.epochs is not None:
        own = 1 - mixed_rate if settings.replay_mode == "add" else 1
        return max(1, math.ceil(settings.epochs * corpus_tokens / own / batch_tokens))
    if settings.tokens is None:
        raise UserError(
            "Nothing says how long to train.",
            where="train.tokens",
            expected="train.tokens or train.epochs",
            found="both are null",
        )
    if settings.tokens < batch_tokens:
        raise UserError(
            "train.tokens is less than one batch.",
            where="train.tokens",
            expected=f"at least {batch_tokens:,} (train.batch_sequences "
            f"{settings.batch_sequences} x train.context_tokens {settings.context_tokens})",
            found=f"{settings.tokens:,}",
        )
    return settings.tokens // batch_tokens


def do(job: TrainingJob, launch: TrainConfig | None = None) -> dict[str, Any]:
    """Run a job, here or where `launch` says; returns what the manifest says of it."""
    from steep.training.job import run_job

    ledger = job.mixture().ledger(job.steps * job.settings.batch_sequences)
    _tell_many_passes(job.label, ledger)
    if launch is not None and launch.launcher == "ray":
        last: StepMetrics | None = _on_ray(job, launch)
    else:
        last = run_job(job)
    if last is None:  # another rank writes the manifest
        return {}
    _tell_ledger(job.label, ledger)
    summary = {"steps": job.steps, "final_loss": last.loss}
    return {**summary, **ledger, "last": asdict(last)}


def _on_ray(job: TrainingJob, launch: TrainConfig) -> StepMetrics:
    import ray

    from steep.llm.ray_cluster import connect
    from steep.training.ray_train import run_on_ray

    ours = connect(launch.ray_address, "train")
    try:
        return run_on_ray(job, launch.ray_workers)
    finally:
        if ours:
            ray.shutdown()


def _tell_many_passes(label: str, ledger: Mapping[str, float]) -> None:
    """Say when the tokens of an arm are many times those of its texts."""
    if ledger["epochs"] > MANY_PASSES:
        log.warning(
            "%s: its %s training tokens read the same texts %s times; fewer train.tokens, or "
            "train.epochs, would do",
            label,
            f"{ledger['tokens']:,.0f}",
            f"{ledger['epochs']:,.0f}",
        )


def _tell_ledger(label: str, ledger: Mapping[str, float]) -> None:
    """The sum that must match: what the tokens of the run were."""
    kinds = ("corpus", "replayed", "instruction")
    parts = [
        f"{ledger[f'{kind}_tokens']:,.0f} {kind}" for kind in kinds if ledger[f"{kind}_tokens"]
    ]
    log.info(
        "%s: %s tokens = %s; %.2f passes over the corpus, %s of its tokens unseen%s",
        label,
        f"{ledger['tokens']:,.0f}",
        " + ".join(parts),
        ledger["epochs"],
        f"{ledger['unseen_tokens']:,.0f}",
        f", {ledger['replaced_tokens']:,.0f} gave way to replay"
        if ledger["replaced_tokens"]
        else "",
    )


def _first_losses(
    project: Project, identity: Identity, shards: Mapping[str, Artifact]
) -> dict[str, float] | None:
    """The validation losses before the first step, if another arm has the same ones."""
    from steep.training.metrics import read_validation

    if VALIDATION not in shards:
        return None
    for other in project.finished(identity.stage):
        fields = other.manifest["identity"]["fields"]
        same = all(fields.get(name) == identity.fields[name] for name in OF_FIRST_LOSSES)
        if same and other.manifest.get("validation") == shards[VALIDATION].path.name:
            for row in read_validation(other.path):
                if row["step"] == 0:
                    log.info(
                        "%s: first validation loss taken from %s", identity.label, other.path.name
                    )
                    return {name: loss for name, loss in row.items() if name != "step"}
    return None


def _watched(shards: Mapping[str, Artifact]) -> dict[str, str]:
    """The directories of the validation shards, by name."""
    if VALIDATION not in shards:
        return {}
    artifact = shards[VALIDATION]
    return {name: str(artifact.path / name) for name in artifact.manifest["sets"]}
