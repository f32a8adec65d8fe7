"""Choose a trained model of a project by its name."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from steep.config import Config
from steep.core.artifacts import Artifact, Project
from steep.core.errors import UserError
from steep.stages.finished_artifacts import Finished, look
from steep.stages.instruct import SUFFIX, models_of
from steep.training.models import MODEL_NAME


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A trained model.

    Attributes:
        name: As in scores: its arm, with its seed if it is not the first, and `-instruct` if it
            was tuned.
        arm: The arm that it belongs to.
        seed: Of its training.
        trained: The artifact of continued pretraining.
        tuned: The artifact of its instruction tuning; None for a model that was not tuned.
        seeds: The names of all models of the arm, one per seed.
        found: All finished artifacts of the project.
    """

    name: str
    arm: str
    seed: int
    trained: Artifact
    tuned: Artifact | None
    seeds: Sequence[str]
    found: Finished

    @property
    def artifact(self) -> Artifact:
        """The artifact that holds the model."""
        return self.tuned or self.trained

    @property
    def directory(self) -> Path:
        """The Hugging Face directory of the model."""
        return self.artifact.path / MODEL_NAME


def choose_model(config: Config, project: Project, name: str | None) -> TrainedModel:
    """Return a trained model by its name; with one model in the project, its name may be left out.

    Raises:
        UserError: There is no such model, it is not trained, or several may be meant.
    """
    names = [*config.train.models, *(f"{each}{SUFFIX}" for each in models_of(config))]
    found = look(config, project)
    if name is None:
        name = _only(_finished(found))
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        raise UserError(
            "There is no model of this name.",
            where="--arm",
            expected=", ".join(names),
            found=name,
            hint=f"did you mean '{near[0]}'?" if near else None,
        )
    if name not in _finished(found):
        raise _not_trained(name, found)
    is_tuned = name not in config.train.models
    own = name.removesuffix(SUFFIX) if is_tuned else name
    arm, seed = config.train.models[own]
    chosen = TrainedModel(
        name=name,
        arm=arm,
        seed=seed,
        trained=found.trained[own],
        tuned=found.tuned[own] if is_tuned else None,
        seeds=[each for each, model in config.train.models.items() if model.arm == arm],
        found=found,
    )
    if not (chosen.directory / "config.json").is_file():
        raise UserError(
            f"The weights of '{name}' were deleted after it was evaluated.",
            where=chosen.directory,
            expected="config.json and the weights",
            hint="remove its artifact and train it again",
        )
    return chosen


def _finished(found: Finished) -> list[str]:
    return [*found.trained, *(f"{name}{SUFFIX}" for name in found.tuned)]


def _only(names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    if not names:
        raise UserError(
            "No model has been trained with this configuration.",
            hint="steep run trains the arms of train.arms",
        )
    raise UserError(
        "There are several trained models; name one.", where="--arm", expected=", ".join(names)
    )


def _not_trained(name: str, found: Finished) -> UserError:
    trained = ", ".join(_finished(found)) or "no model"
    return UserError(
        f"The model '{name}' has not been trained with this configuration.",
        where="--arm",
        expected="a model whose training is finished",
        found=f"trained are: {trained}; finished stages: {', '.join(found.reached) or 'none'}",
        hint="steep run finishes it, steep status shows what is missing",
    )
