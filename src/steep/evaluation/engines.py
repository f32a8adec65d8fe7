"""The interface of engines: a model in this process, or any OpenAI-compatible server.

Prompts, seeds and rows are the same for all engines. A sample's seed follows from the run's seed,
its prompt and its number alone, so neither batching nor concurrency changes a text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from steep.core.errors import UserError
from steep.core.files import disk_errors
from steep.core.ids import derive_seed, stable_hash

Normalizer = Literal["sum", "per_token", "per_character", "per_byte"]
NORMALIZERS: tuple[Normalizer, ...] = ("sum", "per_token", "per_character", "per_byte")
TOO_LONG = "error"  # the finish_reason of a prompt that outgrows the context of a served model


class PromptTooLong(UserError):
    """A prompt with its answer or longest option is longer than the model's context."""

    def __init__(self, where: str, found: object = None, limit: float | None = None) -> None:
        super().__init__(
            "A prompt with its answer or longest option is longer than the model's context.",
            where=where,
            expected=None if limit is None else f"at most {limit} tokens",
            found=found,
            hint="shorten the question, its options or its contexts, or take a model with a longer "
            "context",
        )


class NoLikelihoods(UserError):
    """A served model returns no log-probabilities of a prompt."""


Progress = Callable[[float, int], None]  # called with the number done and the total


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


@dataclass(frozen=True, slots=True)
class OptionScores:
    """Natural log-likelihoods and lengths of the options of one question.

    Characters and UTF-8 bytes are those of the option itself, without the space before it.
    """

    sum_logprob: tuple[float, ...]
    tokens: tuple[int, ...]
    characters: tuple[int, ...]
    bytes: tuple[int, ...]

    @classmethod
    def of(
        cls, options: Sequence[str], sums: Sequence[float], tokens: Sequence[int]
    ) -> OptionScores:
        """Return the scores of options with these sums and numbers of tokens."""
        bytes_ = tuple(len(option.encode()) for option in options)
        return cls(tuple(sums), tuple(tokens), tuple(map(len, options)), bytes_)

    def likeliest(self, normalizer: Normalizer, count: int = 1) -> list[int]:
        """Return the `count` likeliest options; the first of equally likely ones."""
        values = self.normalized(normalizer)
        return sorted(range(len(values)), key=lambda option: -values[option])[:count]

    def normalized(self, normalizer: Normalizer) -> list[float]:
        """Return the log-likelihood of each option, divided by its length."""
        lengths = {
            "sum": (1,) * len(self.sum_logprob),
            "per_token": self.tokens,
            "per_character": self.characters,
            "per_byte": self.bytes,
        }[normalizer]
        return [value / length for value, length in zip(self.sum_logprob, lengths, strict=True)]


# Called with each text as it is completed: its place (prompt * samples + sample), and the text.
OnOutput = Callable[[int, Output], None]


def keep_nothing(place: int, output: Output) -> None:
    """Ignore the text."""


def no_progress(done: float, total: int) -> None:
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


class CachedEngine:
    """Implements `AnswerEngine` around another one, and keeps its outputs on disk.

    It appends the texts of each prompt to a file as soon as all of them are complete, and generates
    only those that the file does not hold: a kill loses what is in progress. The key is the prompt
    with its decoding. Errors are not kept.
    """

    def __init__(self, engine: AnswerEngine, path: Path) -> None:
        """Read the file; a line that a kill cut off is ignored."""
        self._engine, self._path = engine, path
        self._kept = {key: outputs for key, outputs in _read(path)}
        self.found = sum(map(len, self._kept.values()))  # texts that an earlier run left

    def generate(
        self,
        prompts: Sequence[str],
        decoding: Decoding,
        on_progress: Progress = no_progress,
        on_output: OnOutput = keep_nothing,
    ) -> list[list[Output]]:
        """Continue each prompt, unless its texts are in the file (these skip `on_output`)."""
        keys = [stable_hash([prompt, asdict(decoding)], 16) for prompt in prompts]
        missing = {k: p for k, p in zip(keys, prompts, strict=True) if k not in self._kept}
        names, before = list(missing), len(keys) - len(missing)
        parts: dict[int, dict[int, Output]] = {}

        def keep(place: int, output: Output) -> None:
            number, sample = divmod(place, decoding.samples)
            part = parts.setdefault(number, {})
            part[sample] = output
            if len(part) == decoding.samples:
                self._keep(names[number], [part[n] for n in range(decoding.samples)])
            on_output(place, output)

        def report(texts: float, _: int) -> None:
            on_progress(before * decoding.samples + texts, len(keys) * decoding.samples)

        found = (
            self._engine.generate(list(missing.values()), decoding, report, keep) if names else []
        )
        self._kept |= dict(zip(names, found, strict=True))
        return [self._kept[key] for key in keys]

    def logprobs(
        self,
        prompts: Sequence[str],
        options: Sequence[Sequence[str]],
        on_progress: Progress = no_progress,
    ) -> list[OptionScores]:
        """Score each prompt's options; scores are not kept."""
        return self._engine.logprobs(prompts, options, on_progress)

    def _keep(self, key: str, outputs: Sequence[Output]) -> None:
        if any(output.finish_reason == TOO_LONG for output in outputs):
            return
        with disk_errors(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps([key, outputs], ensure_ascii=False) + "\n")


def _read(path: Path) -> Iterator[tuple[str, list[Output]]]:
    if not path.is_file():
        return
    whole = path.read_bytes()
    complete = whole[: whole.rfind(b"\n") + 1]
    if len(complete) < len(whole):  # cut off by a kill; what is appended must begin a line
        with path.open("r+b") as file:
            file.truncate(len(complete))
    for line in complete.decode("utf-8").split("\n"):
        if line:
            key, outputs = json.loads(line)
            yield key, [Output(*each) for each in outputs]
