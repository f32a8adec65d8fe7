"""The judge: splits summaries into claims and gives a verdict on each claim, with any engine.

The answer of a judge is the last JSON value of the right kind in its text, since judges put prose,
code fences and thoughts around it. The value must be whole and valid: a list that was cut off is
not repaired, as its counts would be too low. An empty list must be at the end, and the form that
the prompt shows is no answer. An answer that cannot be read is requested once more, with other
random numbers; what stays unread is counted with its reason, and never guessed.

The judge never sees who wrote a claim, and the source comes first, so that all calls about one
document share their beginning (which servers cache).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from steep.documents.clean import one_line
from steep.documents.document import Document
from steep.evaluation.engines import AnswerEngine, Decoding, Output, Progress, no_progress
from steep.evaluation.judge_calls import (
    Answered,
    JsonPairs,
    JudgeCalls,
    cause_of,
    json_values,
)

DECODING = Decoding(max_tokens=2048)
NEEDS = "a context that holds the longest document, its claims and the verdicts"
NO_CLAIMS = "there is no JSON list of texts in the judge's answer"
NO_VERDICTS = "there is no JSON object with numbers in the judge's answer"
LEFT_OUT = "the judge left this claim out"
TWICE = "the judge gave two verdicts on this claim"
NO_VERDICT = "its verdict is none of those asked for"
NO_SALIENCE = "the judge did not say whether it is salient or cosmetic"

# Placeholders, so that a judge that only repeats its orders has answered nothing.
FORM_OF_CLAIMS = ["<first claim>", "<second claim>"]
_VERDICT = "<verdict>"
_SHOWN_VERDICTS = 2

_SPLIT = """\
Below is a passage from a summary. Take it apart into atomic claims.

- Each claim states exactly one thing, in one short sentence.
- Each claim can be understood alone: put names in the place of "he", "she", "it" or "they".
- Together the claims say all that the passage says, and nothing that it does not say.
- Leave out sentences that claim nothing, such as greetings.

{before}<passage>
{passage}
</passage>

Answer with a JSON list of strings and nothing else, in this form: {example}. If the passage \
claims nothing, answer []."""

_BEFORE = """\
This stood just before it, to tell you who is meant. Make no claims from it.

<before>
{before}
</before>

"""

_JUDGE = """\
Here is a source text.

<source>
{heading}

{text}
</source>

Below are numbered claims about this text. Give each one verdict:

- "false": the source contradicts the claim, or does not bear it out.
- "salient": the source bears the claim out, and the claim matters: who reads only it learns \
something of the main plot, argument or message.
- "cosmetic": the source bears the claim out, but it is a detail: the main plot, argument or \
message would be the same without it.

Judge by this source alone, whatever you know from elsewhere. Judge each claim by itself.

<claims>
{claims}
</claims>

Answer with a JSON object and nothing else. It has every number as a key and its verdict as the \
value, in this form: {example}."""

_EMPTY_LIST_AT_END = re.compile(r"\[\s*\]\}?\s*(?:```\s*)?$")


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


def split_prompt(passage: str, before: str = "") -> str:
    """Ask for the claims of a passage; `before` is what it follows, to resolve pronouns."""
    context = _BEFORE.format(before=before) if before else ""
    form = json.dumps(FORM_OF_CLAIMS)
    return _SPLIT.format(before=context, passage=passage, example=form)


def judge_prompt(document: Document, claims: Sequence[str]) -> str:
    """Ask for the verdicts on these claims, numbered from 1."""
    numbered = "\n".join(f"{number}. {claim}" for number, claim in enumerate(claims, start=1))
    return _JUDGE.format(
        heading=document.heading,
        text=document.text,
        claims=numbered,
        example=_form_of_verdicts(len(claims)),
    )


def _form_of_verdicts(claims: int) -> str:
    shown = range(1, min(claims, _SHOWN_VERDICTS) + 1)
    pairs = [f'"{number}": "{_VERDICT}"' for number in shown]
    return "{" + ", ".join(pairs + (["..."] if claims > len(pairs) else [])) + "}"


def read_claims(text: str) -> tuple[tuple[str, ...], str | None]:
    """Read a list of claims, or none and the reason; an empty list is an answer, too."""
    lists = [_unwrapped(value) for value in json_values(text)]
    answers = [each for each in lists if _is_texts(each) and each != FORM_OF_CLAIMS]
    if not answers or not (answers[-1] or _EMPTY_LIST_AT_END.search(text)):
        return (), NO_CLAIMS
    return tuple(filter(None, map(one_line, answers[-1]))), None


def read_verdicts(text: str, claims: int) -> tuple[Verdict, ...]:
    """Read the verdicts on so many claims, numbered from 1."""
    objects = [value for value in json_values(text) if _has_numbers(value)]
    if not objects:
        return (Verdict(None, None, NO_VERDICTS),) * claims
    found: dict[str, list[Any]] = {}
    for key, value in objects[-1]:
        found.setdefault(key.strip(), []).append(value)
    return tuple(_verdict(found.get(str(number), [])) for number in range(1, claims + 1))


def _unwrapped(value: Any) -> Any:
    """Return the only value of an object: some servers make judges wrap their list."""
    return value[0][1] if isinstance(value, JsonPairs) and len(value) == 1 else value


def _is_texts(value: Any) -> bool:
    is_list = isinstance(value, list) and not isinstance(value, JsonPairs)
    return is_list and all(isinstance(each, str) for each in value)


def _has_numbers(value: Any) -> bool:
    return isinstance(value, JsonPairs) and any(key.strip().isdecimal() for key, _ in value)


def _verdict(values: list[Any]) -> Verdict:
    if not values:
        return Verdict(None, None, LEFT_OUT)
    found = {_read(value) for value in values}
    return found.pop() if len(found) == 1 else Verdict(None, None, TWICE)


def _read(value: Any) -> Verdict:
    parts = value if isinstance(value, list) and not isinstance(value, JsonPairs) else [value]
    words = {word for part in parts for word in _words(part)}
    return _VERDICTS.get(frozenset(words), Verdict(None, None, NO_VERDICT))


def _words(value: Any) -> list[str]:
    """Return the words of a text or a JSON boolean; anything else is no verdict."""
    if isinstance(value, bool):
        return [str(value).lower()]
    return re.findall(r"\w+", value.casefold()) if isinstance(value, str) else ["?"]


class JudgedPassage(NamedTuple):
    """A passage of a text, and the passage before it, if there is one."""

    text: str
    before: str = ""


class ClaimBatch(NamedTuple):
    """Claims that are judged together against the whole text of a document."""

    document: Document
    claims: tuple[str, ...]


class ClaimSplit(NamedTuple):
    """The claims of a passage, and the answer of the judge."""

    claims: tuple[str, ...]
    why_not: str | None
    output: str
    seed: int

    @property
    def unread(self) -> int:
        """1 if no list of claims could be read."""
        return int(self.why_not is not None)


class Ruling(NamedTuple):
    """A verdict on each claim of a batch, the prompt, and the answer of the judge."""

    verdicts: tuple[Verdict, ...]
    prompt: str
    output: str
    seed: int

    @property
    def unread(self) -> int:
        """The number of claims without a full verdict."""
        return sum(each.why_not is not None for each in self.verdicts)


@dataclass
class Judge:
    """Splits texts into claims and gives verdicts on claims, with any engine.

    `attempts` is the number of attempts to get a readable answer.
    """

    engine: AnswerEngine
    name: str
    attempts: int = 2

    def split(
        self, passages: Sequence[JudgedPassage], on_progress: Progress = no_progress
    ) -> list[ClaimSplit]:
        """Split each passage into claims."""
        prompts = [split_prompt(each.text, each.before) for each in passages]
        return self._ask(prompts, lambda number, output: _split(output), on_progress)

    def rule(
        self, batches: Sequence[ClaimBatch], on_progress: Progress = no_progress
    ) -> list[Ruling]:
        """Judge each batch; after a retry, keep the reply with more readable verdicts."""
        prompts = [judge_prompt(each.document, each.claims) for each in batches]
        return self._ask(
            prompts,
            lambda number, output: _ruling(output, prompts[number], len(batches[number].claims)),
            on_progress,
        )

    def _ask(
        self, prompts: Sequence[str], read: Callable[[int, Output], Answered], on_progress: Progress
    ) -> list[Answered]:
        calls = JudgeCalls(self.engine, self.name, DECODING, NEEDS, self.attempts)
        return calls.ask(prompts, read, on_progress)


def _split(output: Output) -> ClaimSplit:
    claims, why_not = read_claims(output.text)
    return ClaimSplit(claims, why_not and cause_of(output, why_not), output.text, output.seed)


def _ruling(output: Output, prompt: str, claims: int) -> Ruling:
    verdicts = read_verdicts(output.text, claims)
    if all(each.true is None for each in verdicts):
        verdicts = tuple(
            each._replace(why_not=cause_of(output, each.why_not or NO_VERDICT)) for each in verdicts
        )
    return Ruling(verdicts, prompt, output.text, output.seed)
