"""Trained models as artifacts: continued pretraining of an arm, then its instruction tuning."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Container, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steep import __version__
from steep.core.artifacts import Artifact, Identity, Project, build
from steep.core.config import identity_fields
from steep.core.errors import UserError
from steep.core.files import write_text
from steep.tokens.build import CHATS, INSTRUCTION, REPLAY, SUBSET_NAME, VALIDATION
from steep.training.config import InstructConfig, TrainConfig
from steep.training.metrics import check_trackers, read_metrics, read_validation
from steep.training.models import BASE, MODEL_NAME

log = logging.getLogger("steep")

if TYPE_CHECKING:
    from steep.tokens.mixture import ShareName
    from steep.training.job import TrainingJob
    from steep.training.metrics import StepMetrics

TRAIN_VERSION, INSTRUCT_VERSION = 2, 1
MANY_PASSES = 200  # over the texts of an arm; more are hardly intended
VALIDATION_TOKENS = 200_000  # per set, at most: its mean loss is then known to about 0.005 nats
CARD_NAME = "README.md"  # in the directory of a model
SUFFIX = "-instruct"  # appended to the name of an arm for its tuned model
RESERVED = {BASE, REPLAY, INSTRUCTION, VALIDATION, CHATS}
# The settings that the validation losses of the untrained model depend on; the seed orders the
# texts in the rows.
OF_FIRST_LOSSES = (
    "train.model", "train.context_tokens", "train.compute", "train.optimizer", "train.seed",
)  # fmt: skip

FindModel = Callable[[str], Path | str]  # the directory or Hub name that a setting means
Launch = Callable[["TrainingJob"], "StepMetrics | None"]  # metrics on the main rank only


def train_arm(
    project: Project,
    settings: TrainConfig,
    shards: Mapping[str, Artifact],
    arm: str,
    find_model: FindModel,
    launch: Launch,
    subset: Artifact | None = None,
) -> Artifact:
    """Train one arm from the base model, on all texts of its shard or on a subset of them."""
    identity = training_identity(settings, shards, arm, subset)
    mixed = mixed_rates(settings, shards)
    validation = shards.get(VALIDATION)

    def make(directory: Path) -> dict[str, Any]:
        from steep.training.job import MixedShard, TrainingJob
        from steep.training.models import local_directory

        tokens = (subset or shards[arm]).manifest["tokens"]
        difference = settings.add_task_vector
        job = TrainingJob(
            label=identity.label,
            model=str(find_model(settings.model)),
            directory=str(directory),
            shard=str(shards[arm].path),
            shares={name: MixedShard(str(shards[name].path), mixed[name]) for name in mixed},
            validation={name: str(validation.path / name) for name in validation.manifest["sets"]}
            if validation
            else {},
            settings=settings,
            steps=training_steps(settings, tokens, sum(mixed.values())),
            replay_mode=settings.replay_mode,
            subset=str(subset.path / SUBSET_NAME) if subset else None,
            add_task_vector=str(local_directory(find_model(difference))) if difference else None,
            first_losses=_first_losses(project, identity, validation),
        )
        name = validation.path.name if validation else None
        card = None if subset else _short_card(job, arm)
        return {"arm": arm, "validation": name, **_run(job, launch, card)}

    return build(project, identity, make, together=True, one_of_many=subset is not None)


def train_model(
    project: Project,
    settings: TrainConfig,
    shards: Mapping[str, Artifact],
    name: str,
    find_model: FindModel,
    launch: Launch,
) -> Artifact:
    """Train one of `settings.models`, on the shard of its arm."""
    seeded, own = of_model(settings, shards, name)
    return train_arm(project, seeded, own, name, find_model, launch)


def of_model(
    settings: TrainConfig, shards: Mapping[str, Artifact], name: str
) -> tuple[TrainConfig, dict[str, Artifact]]:
    """Return the settings of one of `settings.models`, and the shards with its own by its name."""
    arm, seed = settings.models[name]
    own = {name: shards[arm]} if arm in shards else {}
    return settings.model_copy(update={"seed": seed}), {**shards, **own}


def tune_arm(
    project: Project, settings: InstructConfig, trained: Artifact, chats: Artifact, arm: str
) -> Artifact:
    """Tune a trained arm on the shard of chats."""
    identity = tuning_identity(settings, trained, chats, arm)

    def make(directory: Path) -> dict[str, Any]:
        from steep.training.job import TrainingJob, run_job

        job = TrainingJob(
            label=f"instruct {arm}",
            model=str(trained.path / MODEL_NAME),
            directory=str(directory),
            shard=str(chats.path),
            shares={},
            validation={},
            settings=settings,
            steps=tuning_steps(settings, chats.manifest["tokens"]),
        )
        card = _short_card(job, arm + SUFFIX)
        return {"arm": arm + SUFFIX, **_run(job, run_job, card)}

    return build(project, identity, make, together=True)


def training_identity(
    settings: TrainConfig,
    shards: Mapping[str, Artifact],
    arm: str,
    subset: Artifact | None = None,
) -> Identity:
    """Return what decides the weights of a trained arm."""
    inputs = {"shard": shards[arm]}
    if subset is not None:
        inputs["subset"] = subset
    inputs |= {name: shards[name] for name in mixed_rates(settings, shards)}
    fields = {"arm": arm, **identity_fields("train", settings)}
    return Identity("train", TRAIN_VERSION, fields, inputs)


def tuning_identity(
    settings: InstructConfig, trained: Artifact, chats: Artifact, arm: str
) -> Identity:
    """Return what decides the weights of a tuned arm."""
    fields = {"arm": arm + SUFFIX, **identity_fields("instruct", settings)}
    del fields["instruct.chats"]  # the shard's identity has the content of the file
    return Identity("instruct", INSTRUCT_VERSION, fields, {"trained": trained, "shard": chats})


def mixed_rates(settings: TrainConfig, available: Container[str]) -> dict[ShareName, float]:
    """Return the shares of rows that are mixed in, of the shards that are available."""
    rates: dict[ShareName, float] = {
        REPLAY: settings.replay_rate,
        INSTRUCTION: settings.instruction_rate,
    }
    return {name: rate for name, rate in rates.items() if rate and name in available}


def training_steps(settings: TrainConfig, corpus_tokens: int, mixed_rate: float) -> int:
    """Return the number of optimizer steps in `train.tokens`, or in `train.epochs`.

    Raises:
        UserError: There is less than one batch.
    """
    batch_tokens = settings.batch_sequences * settings.context_tokens
    if settings.epochs is not None:
        own = 1 - mixed_rate if settings.replay_mode == "add" else 1
        return max(1, math.ceil(settings.epochs * corpus_tokens / own / batch_tokens))
    if settings.tokens is None:
        raise UserError(
            "The length of training is not set.",
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


def tuning_steps(settings: InstructConfig, chat_tokens: int) -> int:
    """Return the number of optimizer steps in `instruct.epochs`."""
    batch_tokens = settings.batch_sequences * settings.context_tokens
    return max(1, math.ceil(settings.epochs * chat_tokens / batch_tokens))


def validation_rows(tokens: int, context_tokens: int) -> int:
    """Return the number of rows that the loss on a set of `tokens` tokens is measured on."""
    return max(1, min(tokens, VALIDATION_TOKENS) // context_tokens)


def check_training(settings: TrainConfig) -> None:
    """Refuse settings that cannot be trained with, before anything is spent.

    Raises:
        UserError: There is less than one batch, a name is reserved, or a package is missing.
    """
    if settings.epochs is None:
        training_steps(settings, 0, 0.0)
    if taken := RESERVED & set(settings.arms):
        raise UserError(
            "This name of an arm is reserved for results.",
            where="train.arms",
            expected=f"any name but {', '.join(sorted(RESERVED))}",
            found=", ".join(taken),
        )
    if len(settings.models) < len(settings.arms) * settings.seeds:
        raise UserError(
            "An arm has the name of another arm's model of a later seed.",
            where="train.arms",
            expected="names that do not end in -seed and a number, with train.seeds above 1",
            found=", ".join(settings.arms),
        )
    if settings.launcher == "ray":
        from steep.training.ray_train import check_ray_train

        check_ray_train()
    check_trackers(settings.trackers, settings.section)


def check_tuning(settings: InstructConfig, arms: Collection[str]) -> None:
    """Refuse to tune arms that are not trained.

    Raises:
        UserError: There is no such arm, or a package is missing.
    """
    if unknown := sorted(arm for arm in settings.arms if arm not in arms):
        raise UserError(
            f"There is no arm '{unknown[0]}' to tune.",
            where="instruct.arms",
            expected=", ".join(arms),
            found=unknown[0],
        )
    check_trackers(settings.trackers, settings.section)


def _run(job: TrainingJob, launch: Launch, card: str | None) -> dict[str, Any]:
    """Run a job, write the card of its model; return its part of the manifest, on the main rank."""
    ledger = job.mixture().ledger(job.steps * job.settings.batch_sequences)
    if ledger["epochs"] > MANY_PASSES:
        log.warning(
            "%s: %s training tokens repeat the same texts %s times; lower train.tokens, or use "
            "train.epochs",
            job.label,
            f"{ledger['tokens']:,.0f}",
            f"{ledger['epochs']:,.0f}",
        )
    last = launch(job)
    if last is None:  # the main rank writes the manifest
        return {}
    if card is not None:
        write_text(Path(job.directory) / MODEL_NAME / CARD_NAME, card)
    _log_ledger(job.label, ledger)
    losses = [row["loss"] for row in read_metrics(Path(job.directory))]
    measured = [loss for loss in losses if loss is not None]
    skipped = len(losses) - len(measured)
    if skipped:
        log.warning(
            "%s: %d of %d steps were skipped, since their rows predict no token; their prompts may "
            "be longer than %s.context_tokens",
            job.label,
            skipped,
            job.steps,
            job.settings.section,
        )
    if not measured:
        raise UserError(
            "No step of this run predicts a token, so nothing was learned.",
            where=job.label,
            expected="rows with labels",
            found=f"{job.steps:,} steps without any",
            hint=f"raise {job.settings.section}.context_tokens, or set loss_on to all",
        )
    return {
        "steps": job.steps,
        "final_loss": measured[-1],
        **ledger,
        "last": asdict(last),
    }


def _short_card(job: TrainingJob, name: str) -> str:
    """Return what a model directory says of itself; it does not decide its hash."""
    return (
        f"# {name}\n\nA model trained by Steep {__version__} (`{Path(job.directory).name}`). "
        f"`steep export model --arm {name}`\nwrites a copy with a model card: scores, training "
        "data, licenses and limits.\n"
    )


def _log_ledger(label: str, ledger: Mapping[str, float]) -> None:
    """Log where the tokens of a run came from; the numbers add up."""
    kinds = [kind for kind in ("corpus", "replayed", "instruction") if ledger[f"{kind}_tokens"]]
    replaced = ledger["replaced_tokens"]
    log.info(
        "%s: %s tokens = %s; %.2f passes over the corpus, %s of its tokens unseen%s",
        label,
        f"{ledger['tokens']:,.0f}",
        " + ".join(f"{ledger[f'{kind}_tokens']:,.0f} {kind}" for kind in kinds),
        ledger["epochs"],
        f"{ledger['unseen_tokens']:,.0f}",
        f", {replaced:,.0f} replaced by replay" if replaced else "",
    )


def _first_losses(
    project: Project, identity: Identity, validation: Artifact | None
) -> dict[str, float] | None:
    """Return the validation losses before the first step, if another arm has measured them."""
    if validation is None:
        return None
    for other in project.finished(identity.stage):
        fields = other.manifest["identity"]["fields"]
        same = all(fields.get(name) == identity.fields[name] for name in OF_FIRST_LOSSES)
        if same and other.manifest.get("validation") == validation.path.name:
            for row in read_validation(other.path):
                if row["step"] == 0:
                    log.info(
                        "%s: first validation loss taken from %s", identity.label, other.path.name
                    )
                    return {name: loss for name, loss in row.items() if name != "step"}
    return None
