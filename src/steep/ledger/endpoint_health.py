"""Detect an endpoint that answers and yet is unusable.

It rejects call after call for the same reason (a model that was removed answers each with HTTP
404), or most of its answers contain no text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from steep.core.calls import WITHOUT_TEXT, Completion
from steep.ledger.records import has_failed, status_of
from steep.llm.client import FatalError

EQUAL_REJECTIONS = 20  # in a row, without an answer between them
MANY_ANSWERS = 20  # before a share of them is believed
MOST_EMPTY = 0.5  # of the answers
EMPTY_ADVICE = (
    "if this model thinks before it answers, raise generate.max_tokens or turn its reasoning down "
    "or off; otherwise look at one with steep status --failed. The same command retries them"
)
REASONING_ADVICE = (
    "allow more reasoning by generate.reasoning_tokens, raise generate.max_tokens, or turn the "
    "reasoning of the model down or off; the same command retries these calls"
)

_NUMBERS = re.compile(r"(?<!HTTP )\b\d[\d,.]*")


@dataclass(slots=True)
class EndpointHealth:
    """Counts rejections and answers without text of one endpoint in this run.

    Attributes:
        tolerated: Finish reasons of rejections that concern a single request only.
    """

    tolerated: frozenset[str] = frozenset()
    answers: int = 0
    textless: Counter[str] = field(default_factory=Counter)  # by their finish reason
    reasoning: int = 0  # of these, those that are nothing but reasoning
    reasoning_tokens: int = 0
    rejections: int = 0
    reason: str = ""

    def add(self, completions: Sequence[Completion]) -> FatalError | None:
        """Count completions; return an error if further calls will not succeed either."""
        for each in completions:
            if has_failed(each) and each.finish_reason in self.tolerated:
                continue
            if has_failed(each):
                reason = _NUMBERS.sub("0", each.error or "no reason is known")
                self.rejections = self.rejections + 1 if reason == self.reason else 1
                self.reason = reason
                if self.rejections >= EQUAL_REJECTIONS:
                    return rejects_everything(each, self.rejections)
            else:
                self.rejections = 0
                self.answers += 1
                self._add_answer(each)
        if not self.textless or self.answers < MANY_ANSWERS:
            return None
        mostly = self.textless.total() > MOST_EMPTY * self.answers
        return mostly_empty(completions[-1].endpoint, self) if mostly else None

    def _add_answer(self, completion: Completion) -> None:
        if completion.text and not completion.text.isspace():
            return  # nearly all
        status = status_of(completion)
        if status in WITHOUT_TEXT:
            self.textless[completion.finish_reason] += 1
        if status == "reasoning":
            self.reasoning += 1
            self.reasoning_tokens += completion.usage.completion_tokens


def rejects_everything(completion: Completion, calls: int) -> FatalError:
    """Return the error for an endpoint that rejects one call after the other."""
    return FatalError(
        f"The endpoint rejects every call: {calls} in a row, for the same reason.",
        where=completion.endpoint,
        found=completion.error,
        hint="fix the cause and run the same command again; it retries the failed calls",
    )


def mostly_empty(endpoint: str, found: EndpointHealth) -> FatalError:
    """Return the error for an endpoint most of whose answers contain no text."""
    reasons = [f"{n} with finish reason '{reason}'" for reason, n in found.textless.items()]
    thoughts = reasoning_found(found.reasoning, found.reasoning_tokens)
    problem, hint = no_text(found.reasoning, found.textless.total())
    return FatalError(
        f"{problem}: {found.textless.total()} of {found.answers}.",
        where=endpoint,
        found=", ".join(reasons) + (f"; {thoughts}" if thoughts else ""),
        hint=hint,
    )


def no_text(reasoning: int, textless: int) -> tuple[str, str]:
    """Return the problem and the hint for answers without text, `reasoning` of them thoughts."""
    if reasoning > textless / 2:
        return "Most answers contain nothing but reasoning", REASONING_ADVICE
    return "Most answers contain no text", EMPTY_ADVICE


def reasoning_found(answers: int, tokens: int) -> str:
    """Return how long the reasoning was of answers that hold nothing else; "" if not known."""
    return f"{tokens / answers:,.0f} tokens of reasoning per answer" if answers and tokens else ""
