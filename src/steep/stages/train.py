"""Stage 5: shards become a checkpoint; each arm starts from the same base, with equal tokens."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steep.config import Config, TrainConfig
from steep.core.errors import UserError
from steep.core.ids import derive_seed
from steep.core.progress import Progress
from steep.project import Artifact, Project
from steep.stages.harness import Identity, build
from steep.stages.models import (
    BASE,
    check_model,
    load_model,
    load_tokenizer,
    model_directory,
)
from steep.stages.tokenize import REPLAY

if TYPE_CHECKING:
    from steep.tokens.order import Mixture

VERSION = 1
MODEL_NAME = "model"
RESERVED = {BASE, REPLAY}
# Fields that say where and how often, not what is learned; `arms` is in the shard's identity.
NOT_IDENTITY = {"arms", "checkpoint_minutes", "micro_batch_sequences"}


def run(
    config: Config, project: Project, shard: Artifact, replay: Artifact | None, arm: str
) -> Artifact:
    """Train one arm."""
    fields = {
        f"train.{name}": value
        for name, value in config.train.model_dump(mode="json").items()
        if name not in NOT_IDENTITY
    }
    inputs = {"shard": shard} | ({"replay": replay} if replay else {})
    identity = Identity("train", VERSION, {"arm": arm, **fields}, inputs)

    def make(directory: Path) -> dict[str, Any]:
        base = model_directory(config.train.model, project)
        return _make(directory, base, config.train, shard, replay, arm)

    return build(project, identity, make)


def check(config: Config, project: Project) -> None:
    """Refuse what cannot be trained, before anything is spent.

    Raises:
        UserError: Tokens for less than one batch, a name that an arm cannot have, no such model.
    """
    steps_of(config.train)
    if taken := RESERVED & set(config.train.arms):
        raise UserError(
            "An arm cannot have this name, which the results use for something else.",
            where="train.arms",
            expected=f"any name but {' and '.join(sorted(RESERVED))}",
            found=", ".join(taken),
        )
    check_model(config.train.model, project)


def steps_of(settings: TrainConfig) -> int:
    """How many optimizer steps `train.tokens` buys.

    Raises:
        UserError: It is less than one batch.
    """
    batch_tokens = settings.batch_sequences * settings.context_tokens
    if settings.tokens < batch_tokens:
        raise UserError(
            "train.tokens is less than one batch.",
            where="train.tokens",
            expected=f"at least {batch_tokens:,} (train.batch_sequences "
            f"{settings.batch_sequences} x train.context_tokens {settings.context_tokens})",
            found=f"{settings.tokens:,}",
        )
    return settings.tokens // batch_tokens


def _make(
    directory: Path,
    base: Path | str,
    settings: TrainConfig,
    shard: Artifact,
    replay: Artifact | None,
    arm: str,
) -> dict[str, Any]:
    from steep.tokens.order import Mixture, Stream
    from steep.tokens.shard import open_shard
    from steep.training.checkpoint import remove_checkpoints
    from steep.training.loop import last_metrics

    mixture = Mixture(
        corpus=Stream(open_shard(shard.path), derive_seed(settings.seed, "corpus")),
        replay=Stream(open_shard(replay.path), derive_seed(settings.seed, "replay"))
        if replay
        else None,
        context_tokens=settings.context_tokens,
        replay_rate=settings.replay_rate,
    )
    steps = steps_of(settings)
    if not (directory / MODEL_NAME).is_dir():  # else: killed between the export and the manifest
        _train(directory, base, settings, steps, mixture, arm)
    remove_checkpoints(directory)
    last = last_metrics(directory)
    ledger = mixture.ledger(steps * settings.batch_sequences)
    summary = {"arm": arm, "steps": steps, "final_loss": last.loss, "wall_s": last.elapsed_s}
    return {**summary, **ledger, "last": asdict(last)}


def _train(
    directory: Path, base: Path | str, settings: TrainConfig, steps: int, mixture: Mixture, arm: str
) -> None:
    from steep.training import loop

    model, tokenizer = load_model(base), load_tokenizer(base)
    _check_fit(model, tokenizer, mixture, settings)
    progress = Progress(f"train {arm}", steps, "steps")

    def show(metrics: loop.StepMetrics) -> None:
        progress.update(
            metrics.step,
            loss=f"{metrics.loss:.3f}",
            grad_norm=f"{metrics.grad_norm:.2f}",
            lr=f"{metrics.learning_rate:.1e}",
            tok_s=f"{metrics.tokens_per_s:.0f}",
        )

    fields = ("batch_sequences", "micro_batch_sequences", "learning_rate", "warmup",
              "weight_decay", "gradient_clip", "checkpoint_minutes", "seed")  # fmt: skip
    chosen = {name: getattr(settings, name) for name in fields}
    last = loop.train(model, mixture, loop.TrainingSettings(steps=steps, **chosen), directory, show)
    progress.finish(f"{last.tokens:,} tokens, last loss {last.loss:.3f}")
    loop.export(model, tokenizer, directory)


def _check_fit(model: Any, tokenizer: Any, mixture: Mixture, settings: TrainConfig) -> None:
    from steep.tokens.shard import tokenizer_hash

    longest = getattr(model.config, "max_position_embeddings", None)
    if longest and settings.context_tokens > longest:
        raise UserError(
            "The context is longer than the model's.",
            where="train.context_tokens",
            expected=f"at most {longest}",
            found=settings.context_tokens,
        )
    if mixture.corpus.shard.manifest.tokenizer != tokenizer_hash(tokenizer):
        raise UserError(
            "These shards were written by another tokenizer than the model's.",
            where="train.model",
            hint="run steep tokenize again",
        )
