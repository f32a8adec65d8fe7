"""A dialogue with a model in this process: its history, and answers without thoughts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from steep.core.calls import Sampling
from steep.core.ids import derive_seed
from steep.llm.thinking import StreamedAnswer

if TYPE_CHECKING:
    from steep.llm.local.streaming import ChatAnswer, StreamingChatModel


@dataclass
class ChatSession:
    """A dialogue with one model; by default every question starts a new one, as in the paper.

    Args:
        chat_model: The model.
        system: System message; empty for none.
        sampling: Temperature, and the limit of tokens per answer.
        keep_history: Put earlier questions and answers into the next prompt.

    Attributes:
        forgotten: Number of messages that no longer fit into the context.
        last: The last answer.
    """

    chat_model: StreamingChatModel
    system: str
    sampling: Sampling
    keep_history: bool = False
    forgotten: int = 0
    last: ChatAnswer | None = None
    _history: list[dict[str, str]] = field(default_factory=list)
    _asked: int = 0

    def ask(self, question: str, tell: Callable[[str], None]) -> Iterator[str]:
        """Stream the pieces of the answer; a caller may stop at any of them.

        Thoughts are part neither of the answer nor of the history.

        Args:
            question: The question.
            tell: Receives messages about thoughts.
        """
        self._asked += 1
        said = {"role": "user", "content": question}
        prompt = self._prompt(said)
        seed = derive_seed("chat", self._asked)  # the same question may get another answer
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
        """Return the prompt of the dialogue; drop the oldest questions and answers if too long."""
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
    """Stream the answer without its thoughts."""
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
