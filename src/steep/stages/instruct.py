"""Stage 5b: a trained arm learns to answer, from chats; the paper's second stage (appendix D)."""

from __future__ import annotations

from steep.config import Config
from steep.core.artifacts import Artifact, Project
from steep.tokens.build import check_chats
from steep.training.runs import SUFFIX as SUFFIX
from steep.training.runs import check_tuning, tune_arm


def arms_of(config: Config) -> tuple[str, ...]:
    """Return the arms that are tuned; none without chats."""
    if config.instruct.chats is None:
        return ()
    return config.instruct.arms or tuple(config.train.arms)


def check(config: Config) -> None:
    """Refuse what cannot be tuned, before anything is spent."""
    check_tuning(config.instruct, config.train.arms)
    if config.instruct.chats is not None:
        check_chats(config.instruct.chats, "instruct.chats")


def run(config: Config, project: Project, trained: Artifact, shard: Artifact, arm: str) -> Artifact:
    """Tune one trained arm on the chats of a shard."""
    return tune_arm(project, config.instruct, trained, shard, arm)
