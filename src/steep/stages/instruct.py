"""Stage 5b: a trained arm learns to answer, from chats; the paper's second stage (appendix D)."""

from __future__ import annotations

from steep.config import Config
from steep.core.artifacts import Artifact, Project
from steep.tokens.build import check_chats
from steep.training.config import InstructConfig
from steep.training.runs import SUFFIX as SUFFIX
from steep.training.runs import check_tuning, tune_arm


def models_of(config: Config) -> dict[str, InstructConfig]:
    """Return the settings of each trained model that is tuned; none without chats.

    The seeds of tuning differ as those of training do.
    """
    settings = config.instruct
    if settings.chats is None:
        return {}
    arms = settings.arms or tuple(config.train.arms)
    first = settings.seed - config.train.seed
    return {
        name: settings.model_copy(update={"seed": first + model.seed})
        for name, model in config.train.models.items()
        if model.arm in arms
    }


def check(config: Config) -> None:
    """Refuse what cannot be tuned, before anything is spent."""
    check_tuning(config.instruct, config.train.arms)
    if config.instruct.chats is not None:
        check_chats(config.instruct.chats, "instruct.chats")


def run(
    config: Config, project: Project, trained: Artifact, shard: Artifact, name: str
) -> Artifact:
    """Tune one trained model on the chats of a shard."""
    return tune_arm(project, models_of(config)[name], trained, shard, name)
