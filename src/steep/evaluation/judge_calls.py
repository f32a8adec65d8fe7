"""How judges are called: their prompts are sent, and sent again where an answer cannot be read.

Judges put prose, code fences and thoughts around their answers, so these are read from the JSON
values in a text. What stays unread is counted with its reason, and never guessed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from steep.core.errors import UserError
from steep.core.ids import derive_seed
from steep.evaluation.engines import TOO_LONG, AnswerEngine, Decoding, Output, Progress, no_progress

NOTHING_CAME = "the judge's engine gave no answer"
CUT_OFF = "the judge was cut off by its token limit"
RETRY_TEMPERATURE = 0.7
_OPENING = re.compile(r"[\[{]")


class Readable(Protocol):
    """An answer of a judge."""

    @property
    def unread(self) -> int:
        """The number of its parts that could not be read."""


Answered = TypeVar("Answered", bound=Readable)


@dataclass(frozen=True)
class JudgeCalls:
    """Calls a judge.

    Attributes:
        engine: Answers the prompts.
        name: The model, as errors name it.
        decoding: Of the first attempt; later ones are sampled.
        needs: What the context of the model must hold, as an error says it.
        attempts: Number of attempts to get a readable answer.
    """

    engine: AnswerEngine
    name: str
    decoding: Decoding
    needs: str
    attempts: int = 2

    def ask(
        self,
        prompts: Sequence[str],
        read: Callable[[int, Output], Answered],
        on_progress: Progress = no_progress,
    ) -> list[Answered]:
        """Ask, and ask again where something in the answer could not be read.

        `read` is given the number of the prompt. Of two answers, that with fewer unread parts is
        kept.

        Raises:
            UserError: The server refuses every request.
        """
        found: dict[int, Answered] = {}
        for attempt in range(self.attempts):
            open_ = [n for n in range(len(prompts)) if n not in found or found[n].unread]
            if not open_:
                break
            report = on_progress if attempt == 0 else no_progress
            decoding = self.decoding
            if attempt > 0:  # a greedy judge would answer the same again
                seed = derive_seed(0, "judge again", attempt)
                decoding = replace(decoding, temperature=RETRY_TEMPERATURE, seed=seed)
            outputs = self.engine.generate([prompts[n] for n in open_], decoding, report)
            if attempt == 0 and all(each.finish_reason == TOO_LONG for (each,) in outputs):
                raise self._refused(len(outputs))
            for number, (output,) in zip(open_, outputs, strict=True):
                answer = read(number, output)
                if number not in found or answer.unread < found[number].unread:
                    found[number] = answer
        return [found[number] for number in range(len(prompts))]

    def _refused(self, requests: int) -> UserError:
        return UserError(
            f"The server of the judge '{self.name}' refused every request.",
            expected=self.needs,
            found=f"{requests} refusals",
            hint="see the log of the server, or use a judge with a longer context",
        )


class JsonPairs(list[tuple[str, Any]]):
    """An object with all of its pairs: a `dict` would keep one of two equal keys."""


def json_values(text: str) -> Iterator[Any]:
    """Yield the outermost whole lists and objects in a text; an object as its pairs."""
    decoder = json.JSONDecoder(object_pairs_hook=JsonPairs)
    start = 0
    while found := _OPENING.search(text, start):
        try:
            value, start = decoder.raw_decode(text, found.start())
        except (ValueError, RecursionError):
            start = found.start() + 1
        else:
            yield value


def cause_of(output: Output, why_not: str) -> str:
    """Return the engine's reason for an unreadable answer, or else the given one."""
    return {TOO_LONG: NOTHING_CAME, "length": CUT_OFF}.get(output.finish_reason, why_not)
