"""Who takes summaries apart and weighs their claims: a small protocol, and any engine behind it.

A judge is asked in batches and answers each question with what could be read of its words, those
words themselves, and the reason where nothing could be read. Prose in the place of JSON is asked
for once more, with other random numbers; what stays unread is counted, and never guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from steep.core.errors import UserError
from steep.core.ids import derive_seed
from steep.documents.document import Document
from steep.evaluation.engines import AnswerEngine, Decoding, Output, Progress, no_progress
from steep.evaluation.summaries.judge_answers import (
    NO_CLAIMS,
    ClaimList,
    Verdict,
    read_claims,
    read_verdicts,
    unread_claims,
)
from steep.evaluation.summaries.prompts import judge_prompt, split_prompt

NOTHING_CAME = "the judge's engine gave no answer"
CUT_OFF = "the judge was cut off by its token limit"
RETRY_TEMPERATURE = 0.7  # a greedy judge would say the same again
DECODING = Decoding(max_tokens=2048)
Answered = TypeVar("Answered")


@dataclass(frozen=True, slots=True)
class JudgedPassage:
    """A piece of a text, and the piece that it follows, where there is one."""

    text: str
    before: str = ""


@dataclass(frozen=True, slots=True)
class ClaimBatch:
    """Claims to be weighed together against the whole text of a document."""

    document: Document
    claims: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClaimSplit:
    """The claims of a passage, and what was said."""

    claims: tuple[str, ...]
    why_not: str | None
    output: str
    seed: int


@dataclass(frozen=True, slots=True)
class Ruling:
    """A verdict on each claim of a batch, the prompt that asked for them, and what was said."""

    verdicts: tuple[Verdict, ...]
    prompt: str
    output: str
    seed: int


class Judge(Protocol):
    """Whoever can take texts apart and weigh claims."""

    @property
    def name(self) -> str:
        """What rows and tables call it."""
        ...

    def split(
        self, passages: Sequence[JudgedPassage], on_progress: Progress = no_progress
    ) -> list[ClaimSplit]:
        """The claims of each passage."""
        ...

    def rule(
        self, batches: Sequence[ClaimBatch], on_progress: Progress = no_progress
    ) -> list[Ruling]:
        """The verdicts on each batch."""
        ...


def as_it_is(requests: Sequence[str]) -> list[str]:
    """For a chat endpoint, which brings its own format."""
    return list(requests)


@dataclass(frozen=True)
class EngineJudge:
    """Implements `Judge` with any engine.

    Attributes:
        engine: Who answers: an instruct model in this process, or a server's chat endpoint.
        name: What rows and tables call it.
        form: Puts requests into the model's chat format; `in_chat_form` in this process.
        decoding: Of its answers; greedy as a rule.
        attempts: How often an answer that cannot be read is asked for.
    """

    engine: AnswerEngine
    name: str
    form: Callable[[Sequence[str]], list[str]] = as_it_is
    decoding: Decoding = DECODING
    attempts: int = 2

    def split(
        self, passages: Sequence[JudgedPassage], on_progress: Progress = no_progress
    ) -> list[ClaimSplit]:
        """The claims of each passage.

        Raises:
            UserError: The engine cannot be asked, or refuses every request.
        """
        prompts = self.form([split_prompt(each.text, each.before) for each in passages])
        answers = self._ask(prompts, lambda number, output: _claims(output), on_progress)
        return [
            ClaimSplit(
                answer.read.claims, answer.read.why_not, answer.output.text, answer.output.seed
            )
            for answer in answers
        ]

    def rule(
        self, batches: Sequence[ClaimBatch], on_progress: Progress = no_progress
    ) -> list[Ruling]:
        """The verdicts on each batch; of two answers that of which more could be read.

        Raises:
            UserError: The engine cannot be asked, or refuses every request; so it does as a rule
                when a document outgrows its context.
        """
        prompts = self.form([judge_prompt(each.document, each.claims) for each in batches])
        answers = self._ask(
            prompts, lambda number, output: _verdicts(output, batches[number]), on_progress
        )
        return [
            Ruling(answer.read, prompt, answer.output.text, answer.output.seed)
            for prompt, answer in zip(prompts, answers, strict=True)
        ]

    def _ask(
        self,
        prompts: Sequence[str],
        read: Callable[[int, Output], tuple[Answered, int]],
        on_progress: Progress,
    ) -> list[_Answer[Answered]]:
        """Ask, and ask those again of whose answers something could not be read."""
        assert self.attempts >= 1, self.attempts
        found: dict[int, _Answer[Answered]] = {}
        for attempt in range(self.attempts):
            open_ = [n for n in range(len(prompts)) if n not in found or found[n].unread]
            if not open_:
                break
            tell = on_progress if attempt == 0 else no_progress
            outputs = self.engine.generate([prompts[n] for n in open_], self._nth(attempt), tell)
            for number, (output, *_) in zip(open_, outputs, strict=True):
                answer = _Answer(*read(number, output), output)
                if number not in found or answer.unread < found[number].unread:
                    found[number] = answer
            _check_not_all_refused(list(found.values()), self.name)
        return [found[number] for number in range(len(prompts))]

    def _nth(self, attempt: int) -> Decoding:
        once = replace(self.decoding, samples=1)
        if attempt == 0:
            return once
        warm = max(once.temperature, RETRY_TEMPERATURE)
        seed = derive_seed(once.seed, "judge again", attempt)
        return replace(once, temperature=warm, seed=seed)


@dataclass(frozen=True)
class _Answer(Generic[Answered]):
    """What was read of an output, and of how many things in it nothing could be read."""

    read: Answered
    unread: int
    output: Output


def _claims(output: Output) -> tuple[ClaimList, int]:
    found = read_claims(output.text)
    if found.why_not == NO_CLAIMS:
        found = ClaimList((), _cause(output) or NO_CLAIMS)
    return found, int(found.why_not is not None)


def _verdicts(output: Output, batch: ClaimBatch) -> tuple[tuple[Verdict, ...], int]:
    found = read_verdicts(output.text, len(batch.claims))
    cause = _cause(output)
    if cause and all(each.true is None for each in found):
        found = unread_claims(len(batch.claims), cause)
    return found, sum(each.why_not is not None for each in found)


def _cause(output: Output) -> str | None:
    """Why there may be nothing to read, where the engine knows it."""
    return {"error": NOTHING_CAME, "length": CUT_OFF}.get(output.finish_reason)


def _check_not_all_refused(answers: Sequence[_Answer[Answered]], name: str) -> None:
    if any(answer.output.finish_reason != "error" for answer in answers):
        return
    raise UserError(
        f"The server of the judge '{name}' refused every request.",
        expected="a context that holds the longest document, its claims and the verdicts",
        found=f"{len(answers)} refusals",
        hint="see what the server says in its own log, or take a judge with a longer context",
    )
