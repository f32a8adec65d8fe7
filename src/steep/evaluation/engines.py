"""The interface of engines: a model in this process, or any OpenAI-compatible server.

Prompts, seeds and rows are the same for all engines. A sample's seed follows from the run's seed,
its prompt and its number alone, so neither batching nor concurrency changes a text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from steep.core.errors import UserError
from steep.core.ids import derive_seed
from steep.evaluation.option_rows import OptionScores

TOO_LONG = "error"  # the finish_reason of a prompt that outgrows the context of a served model


class PromptTooLong(UserError):
    """A prompt with its answer is longer than the model's context."""


class NoLikelihoods(UserError):
    """A served model returns no log-probabilities of a prompt."""


Progress = Callable[[int, int], None]  # called with the number done and the total


@dataclass(frozen=True, slots=True)
class Decoding:
    """Decoding parameters: greedy at temperature 0; texts end before the first stop string."""

    samples: int = 1
    temperature: float = 0.0
    max_tokens: int = 300
    stop: tuple[str, ...] = ()
    seed: int = 0


class Output(NamedTuple):
    """One text; `logprob` is that of the text under the model, without temperature, if known."""

    text: str
    finish_reason: str
    seed: int
    logprob: float | None


# Called with each text as it is completed: its place (prompt * samples + sample), and the text.
OnOutput = Callable[[int, Output], None]


def keep_nothing(place: int, output: Output) -> None:
    """Ignore the text."""


def no_progress(done: int, total: int) -> None:
    """Ignore the progress."""


class AnswerEngine(Protocol):
    """A model that continues prompts and scores continuations."""

    def generate(
        self,
        prompts: Sequence[str],
        decoding: Decoding,
        on_progress: Progress = no_progress,
        on_output: OnOutput = keep_nothing,
    ) -> list[list[Output]]:
        """Continue each prompt `decoding.samples` times."""
        ...

    def logprobs(
        self,
        prompts: Sequence[str],
        options: Sequence[Sequence[str]],
        on_progress: Progress = no_progress,
    ) -> list[OptionScores]:
        """Score each prompt's options as its continuations, separated by one space."""
        ...


def sample_seed(seed: int, prompt: str, sample: int) -> int:
    """Return the seed of one text, in 31 bits: some servers keep a signed 32-bit integer."""
    return derive_seed(seed, prompt, sample) >> 32


def cut_at_stop(text: str, stop: Sequence[str]) -> str | None:
    """Return the text before the first stop string; None if there is none."""
    places = [place for each in stop if (place := text.find(each)) >= 0]
    return text[: min(places)] if places else None
