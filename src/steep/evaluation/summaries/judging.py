"""The judge: splits summaries into claims and gives a verdict on each claim, with any engine.

A judge is asked in batches. Its answer is the last JSON value of the right kind in the text, since
judges put prose, code fences and thoughts around it. The value must be whole and valid: a list that
was cut off is not repaired, as its counts would be too low. An empty list must be at the end, and
the form that the prompt shows is no answer: weak judges repeat their instructions. An answer that
cannot be read is asked for once more, with other random numbers; what stays unread is counted with
its reason, and never guessed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from steep.core.errors import UserError
from steep.core.ids import derive_seed
from steep.documents.clean import one_line
from steep.documents.document import Document
from steep.evaluation.engines import AnswerEngine, Decoding, Output, Progress, no_progress
from steep.evaluation.summaries.prompts import FORM_OF_CLAIMS, judge_prompt, split_prompt

NOTHING_CAME = "the judge's engine gave no answer"
CUT_OFF = "the judge was cut off by its token limit"
RETRY_TEMPERATURE = 0.7  # a greedy judge would say the same again
DECODING = Decoding(max_tokens=2048)
Answered = TypeVar("Answered")
NO_CLAIMS = "there is no JSON list of texts in the judge's answer"
NO_VERDICTS = "there is no JSON object with numbers in the judge's answer"
LEFT_OUT = "the judge left this claim out"
TWICE = "the judge gave two verdicts on this claim"
NO_VERDICT = "its verdict is none of those asked for"
NO_SALIENCE = "the judge did not say whether it is salient or cosmetic"

_OPENING = re.compile(r"[\[{]")
_EMPTY_LIST_AT_END = re.compile(r"\[\s*\]\}?\s*(?:```\s*)?$")


class ClaimList(NamedTuple):
    """Claims, each on one line, or none and the reason."""

    claims: tuple[str, ...]
    why_not: str | None = None


class Verdict(NamedTuple):
    """The verdict on a claim; None with the reason if it cannot be read.

    A false claim is neither salient nor cosmetic.
    """

    true: bool | None
    salient: bool | None = None
    why_not: str | None = None


FALSE, SALIENT, COSMETIC = Verdict(False), Verdict(True, True), Verdict(True, False)
# "true" beside the finer word is no contradiction, and alone it is half an answer.
_VERDICTS: dict[frozenset[str], Verdict] = {
    frozenset({"false"}): FALSE,
    frozenset({"salient"}): SALIENT,
    frozenset({"true", "salient"}): SALIENT,
    frozenset({"cosmetic"}): COSMETIC,
    frozenset({"true", "cosmetic"}): COSMETIC,
    frozenset({"true"}): Verdict(True, None, NO_SALIENCE),
}


def read_claims(text: str) -> ClaimList:
    """Read a list of claims; an empty list is an answer, too."""
    lists = [_unwrapped(value) for value in json_values(text)]
    answers = [each for each in lists if _is_texts(each) and each != FORM_OF_CLAIMS]
    if not answers or not (answers[-1] or _EMPTY_LIST_AT_END.search(text)):
        return ClaimList((), NO_CLAIMS)
    claims = (one_line(claim) for claim in answers[-1])
    return ClaimList(tuple(claim for claim in claims if claim))


def read_verdicts(text: str, claims: int) -> tuple[Verdict, ...]:
    """Read the verdicts on so many claims, numbered from 1."""
    objects = [value for value in json_values(text) if _has_numbers(value)]
    if not objects:
        return unread_claims(claims, NO_VERDICTS)
    said: dict[str, list[Any]] = {}
    for key, value in objects[-1]:
        said.setdefault(key.strip(), []).append(value)
    return tuple(_verdict(said.get(str(number), [])) for number in range(1, claims + 1))


def unread_claims(claims: int, why_not: str) -> tuple[Verdict, ...]:
    """Return verdicts that could not be read, all for the same reason."""
    return (Verdict(None, None, why_not),) * claims


def json_values(text: str) -> Iterator[Any]:
    """Yield the outermost whole lists and objects in a text; an object as its pairs."""
    decoder = json.JSONDecoder(object_pairs_hook=_Pairs)
    start = 0
    while found := _OPENING.search(text, start):
        try:
            value, start = decoder.raw_decode(text, found.start())
        except (ValueError, RecursionError):
            start = found.start() + 1
        else:
            yield value


class _Pairs(list[tuple[str, Any]]):
    """An object with all of its pairs: a `dict` would keep one of two equal keys."""


def _unwrapped(value: Any) -> Any:
    """Return the only value of an object: some servers make judges wrap their list."""
    return value[0][1] if isinstance(value, _Pairs) and len(value) == 1 else value


def _is_texts(value: Any) -> bool:
    is_list = isinstance(value, list) and not isinstance(value, _Pairs)
    return is_list and all(isinstance(each, str) for each in value)


def _has_numbers(value: Any) -> bool:
    return isinstance(value, _Pairs) and any(key.strip().isdecimal() for key, _ in value)


def _verdict(said: list[Any]) -> Verdict:
    if not said:
        return Verdict(None, None, LEFT_OUT)
    found = {_read(value) for value in said}
    return found.pop() if len(found) == 1 else Verdict(None, None, TWICE)


def _read(value: Any) -> Verdict:
    parts = value if isinstance(value, list) and not isinstance(value, _Pairs) else [value]
    words = {word for part in parts for word in _words(part)}
    return _VERDICTS.get(frozenset(words), Verdict(None, None, NO_VERDICT))


def _words(value: Any) -> list[str]:
    """Return the words of a text or a JSON boolean; anything else is no verdict."""
    if isinstance(value, bool):
        return [str(value).lower()]
    return re.findall(r"\w+", value.casefold()) if isinstance(value, str) else ["?"]


@dataclass(frozen=True, slots=True)
class JudgedPassage:
    """A passage of a text, and the passage before it, if there is one."""

    text: str
    before: str = ""


@dataclass(frozen=True, slots=True)
class ClaimBatch:
    """Claims that are judged together against the whole text of a document."""

    document: Document
    claims: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClaimSplit:
    """The claims of a passage, and the answer of the judge."""

    claims: tuple[str, ...]
    why_not: str | None
    output: str
    seed: int


@dataclass(frozen=True, slots=True)
class Ruling:
    """A verdict on each claim of a batch, the prompt, and the answer of the judge."""

    verdicts: tuple[Verdict, ...]
    prompt: str
    output: str
    seed: int


class Judge(Protocol):
    """Splits texts into claims and gives verdicts on claims."""

    @property
    def name(self) -> str:
        """The name in rows and tables."""
        ...

    def split(
        self, passages: Sequence[JudgedPassage], on_progress: Progress = no_progress
    ) -> list[ClaimSplit]:
        """Split each passage into claims."""
        ...

    def rule(
        self, batches: Sequence[ClaimBatch], on_progress: Progress = no_progress
    ) -> list[Ruling]:
        """Judge each batch."""
        ...


def as_it_is(requests: Sequence[str]) -> list[str]:
    """Return requests unchanged, for a chat endpoint."""
    return list(requests)


@dataclass(frozen=True)
class EngineJudge:
    """Implements `Judge` with any engine.

    Attributes:
        engine: An instruct model in this process, or the chat endpoint of a server.
        name: The name in rows and tables.
        form: Puts requests into the model's chat format; `in_chat_form` in this process.
        decoding: Of its answers; greedy as a rule.
        attempts: Number of attempts to get a readable answer.
    """

    engine: AnswerEngine
    name: str
    form: Callable[[Sequence[str]], list[str]] = as_it_is
    decoding: Decoding = DECODING
    attempts: int = 2

    def split(
        self, passages: Sequence[JudgedPassage], on_progress: Progress = no_progress
    ) -> list[ClaimSplit]:
        """Split each passage into claims.

        Raises:
            UserError: The engine fails, or refuses every request.
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
        """Judge each batch; after a retry, keep the reply with more readable verdicts.

        Raises:
            UserError: The engine fails, or refuses every request, e.g. because a document outgrows
                its context.
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
        """Ask, and ask again where something in the answer could not be read."""
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
    """What was read of an output, and the number of unreadable parts."""

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
    """Return the engine's reason for an unreadable answer, if it gives one."""
    return {"error": NOTHING_CAME, "length": CUT_OFF}.get(output.finish_reason)


def _check_not_all_refused(answers: Sequence[_Answer[Answered]], name: str) -> None:
    if any(answer.output.finish_reason != "error" for answer in answers):
        return
    raise UserError(
        f"The server of the judge '{name}' refused every request.",
        expected="a context that holds the longest document, its claims and the verdicts",
        found=f"{len(answers)} refusals",
        hint="see the log of the server, or use a judge with a longer context",
    )
