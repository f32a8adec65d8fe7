"""Stage 5b: a trained arm learns to answer, from chats; the paper's second stage (appendix D)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from steep.config import Config
from steep.core.artifacts import Artifact, Identity, Project, build
from steep.core.config import identity_fields
from steep.core.errors import UserError
from steep.stages.train import MODEL_NAME, do
from steep.training.config import InstructConfig

VERSION = 1
SUFFIX = "-instruct"  # of the arm's name, for its tuned model


def arms_of(config: Config) -> tuple[str, ...]:
    """The arms that are tuned; none without chats."""
    if config.instruct.chats is None:
        return ()
    return config.instruct.arms or tuple(config.train.arms)


def check(config: Config) -> None:
    """Refuse what cannot be tuned, before anything is spent.

    Raises:
        UserError: An arm that is not trained, or no such file.
    """
    if unknown := sorted(set(config.instruct.arms) - set(config.train.arms)):
        raise UserError(
            f"There is no arm '{unknown[0]}' to tune.",
            where="instruct.arms",
            expected=", ".join(config.train.arms),
            found=unknown[0],
        )
    chats = config.instruct.chats
    if chats is not None and not chats.is_file():
        raise UserError(
            "There are no chats.",
            where="instruct.chats",
            expected='a JSONL file, each line {"messages": [{"role", "content"}, ...]}',
            found=chats,
        )


def run(config: Config, project: Project, trained: Artifact, shard: Artifact, arm: str) -> Artifact:
    """Tune one trained arm on the chats of a shard."""
    settings = config.instruct
    identity = identity_of(settings, trained, shard, arm)

    def make(directory: Path) -> dict[str, Any]:
        from steep.training.job import TrainingJob

        steps = steps_of(settings, shard.manifest["tokens"])
        job = TrainingJob(
            label=f"instruct {arm}",
            model=str(trained.path / MODEL_NAME),
            directory=str(directory),
            shard=str(shard.path),
            shares={},
            validation={},
            settings=settings,
            steps=steps,
        )
        return {"arm": identity.fields["arm"], **do(job)}

    return build(project, identity, make, together=True)


def identity_of(settings: InstructConfig, trained: Artifact, shard: Artifact, arm: str) -> Identity:
    """What decides the weights of a tuned arm."""
    fields = {"arm": arm + SUFFIX, **identity_fields("instruct", settings)}
    del fields["instruct.chats"]  # its content is in the shard's identity
    return Identity("instruct", VERSION, fields, {"trained": trained, "shard": shard})


def steps_of(settings: InstructConfig, chat_tokens: int) -> int:
    """How many optimizer steps `instruct.epochs` passes over so many tokens take."""
    batch_tokens = settings.batch_sequences * settings.context_tokens
    return max(1, math.ceil(settings.epochs * chat_tokens / batch_tokens))
