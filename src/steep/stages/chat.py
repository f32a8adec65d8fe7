"""Talking with a model that was trained: which one is meant, and what it is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steep.config import Config
from steep.core.artifacts import Project
from steep.core.calls import Sampling
from steep.core.errors import UserError
from steep.core.ids import derive_seed
from steep.llm.thinking import StreamedAnswer
from steep.stages.models import EMBEDDED, check_libraries, embedded_directory

if TYPE_CHECKING:
    from steep.llm.local.streaming import ChatAnswer, StreamingChatModel

LINK = "model-"  # in a run's directory, followed by the arm


@dataclass
class ChatSession:
    """A dialogue with one model; by default every question starts a fresh one, as in the paper.

    Args:
        talker: The model.
        system: What it is told before everything; empty: nothing.
        sampling: Temperature, and tokens an answer.
        keep_history: Whether questions and answers so far are part of the next prompt.
    """

    chat_model: StreamingChatModel
    system: str
    sampling: Sampling
    keep_history: bool = False
    forgotten: int = 0  # messages that no longer fit
    last: ChatAnswer | None = None
    _history: list[dict[str, str]] = field(default_factory=list)
    _asked: int = 0

    def ask(self, question: str, tell: Callable[[str], None]) -> Iterator[str]:
        """The pieces of the answer; a caller may stop listening at any of them.

        A thought is no part of the answer, nor of what is sent again.

        Args:
            question: What is asked.
            tell: Told that the model thinks, and what came of it.
        """
        self._asked += 1
        said = {"role": "user", "content": question}
        prompt = self._prompt(said)
        seed = derive_seed("chat", self._asked)  # asked again, it may answer otherwise
        self.last = answer = self.chat_model.answer(prompt, self.sampling, seed)
        streamed = StreamedAnswer(self.chat_model.opened_thought(prompt))
        try:
            with closing(iter(answer)) as pieces:  # type: ignore[type-var]
                yield from _answered(pieces, streamed, tell)
        finally:
            content = streamed.separated.answer.strip()
            if self.keep_history and content:
                self._history += [said, {"role": "assistant", "content": content}]

    def _prompt(self, said: dict[str, str]) -> list[int]:
        """The whole dialogue; its oldest questions go, with their answers, when it is too long."""
        system = [{"role": "system", "content": self.system}] if self._has_system else []
        while True:
            prompt = self.chat_model.prompt([*system, *self._history, said])
            room = self.chat_model.room(prompt)
            wanted = min(self.sampling.max_tokens, len(prompt))  # half the context is enough
            if not self._history or room is None or room >= wanted:
                return prompt
            del self._history[:2]
            self.forgotten += 2

    @property
    def _has_system(self) -> bool:
        return bool(self.system) and self.chat_model.has_template


def _answered(
    pieces: Iterator[str], streamed: StreamedAnswer, tell: Callable[[str], None]
) -> Iterator[str]:
    """The answer without its thoughts."""
    told = withdrawn = False
    for more in chain(map(streamed.add, pieces), map(StreamedAnswer.end, [streamed])):
        if streamed.withdrawn and not withdrawn:
            tell("the text so far was a thought; the answer follows")
            told = withdrawn = True
        if streamed.thinks and not told:
            tell("thinking ...")
            told = True
        if more:
            yield more
    if streamed.thinks and not streamed.separated.answer.strip():
        tell("it thought and gave no answer")


def open_chat(model: Path | str, **settings: Any) -> ChatSession:
    """Load the model and begin; `settings` are those of `ChatSession`.

    Raises:
        UserError: The libraries are not installed, or the model cannot be loaded.
    """
    check_libraries()
    from steep.llm.local.streaming import StreamingChatModel

    return ChatSession(
        StreamingChatModel(embedded_directory() if model == EMBEDDED else model), **settings
    )


def model_of_arm(config: Config, project: Project, arm: str) -> Path:
    """The model that a run trained under this name.

    Raises:
        UserError: It has none.
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
    """The names of the trained models of a run."""
    return sorted(path.name.removeprefix(LINK) for path in directory.glob(f"{LINK}*"))
