"""`steep chat`: the trained models of a run, and a dialogue with one of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from steep.config import Config
from steep.core.artifacts import Project
from steep.core.errors import UserError
from steep.llm.model_names import EMBEDDED, check_libraries, embedded_directory

if TYPE_CHECKING:
    from steep.llm.local.chat import ChatSession as ChatSession

LINK = "model-"  # in a run's directory, followed by the arm


def open_chat(model: Path | str, **settings: Any) -> ChatSession:
    """Load a model and return a session; `settings` are the other fields of `ChatSession`.

    Raises:
        UserError: The libraries are not installed, or the model cannot be loaded.
    """
    check_libraries()
    from steep.llm.local.chat import ChatSession, StreamingChatModel

    return ChatSession(
        StreamingChatModel(embedded_directory() if model == EMBEDDED else model), **settings
    )


def model_of_arm(config: Config, project: Project, arm: str) -> Path:
    """Return the directory of a trained model of a run.

    Raises:
        UserError: The run has no such model.
    """
    directory = project.run_directory(config.name)
    path = directory / f"{LINK}{arm}"
    if (path / "config.json").is_file():
        return path
    raise UserError(
        f"The run '{config.name}' has no trained model of this name.",
        where=path,
        expected=", ".join(arms_of(directory)) or "a model that steep run has trained",
        found=arm,
        hint="steep run trains the arms of train.arms and links them here",
    )


def arms_of(directory: Path) -> list[str]:
    """Return the names of the trained models of a run."""
    return sorted(path.name.removeprefix(LINK) for path in directory.glob(f"{LINK}*"))
