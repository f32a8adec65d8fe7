"""What concerns every call of an endpoint, and so ends its work: said once, in the user's words.

An endpoint may be gone, or ask to be left alone for long. It may also answer, and be of no use: it
rejects call after call for the same reason (a model that was taken away answers each with HTTP
404), or most of its answers hold no text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from steep.core.calls import WITHOUT_TEXT, Completion
from steep.core.formatting import duration
from steep.ledger.records import has_failed, status_of
from steep.llm.client import FatalError
from steep.llm.dialect import ENDLESS

EQUAL_REJECTIONS = 20  # in a row, without an answer between them
MANY_ANSWERS = 20  # before a share of them is believed
MOST_EMPTY = 0.5  # of the answers
EMPTY_ADVICE = (
    "if this model thinks before it answers, raise generate.max_tokens or turn its reasoning down "
    "or off; else look at one by steep status --failed. The same command asks for them again"
)
REASONING_ADVICE = (
    "give the reasoning room by generate.reasoning_tokens, raise generate.max_tokens, or turn the "
    "reasoning of the model down or off; the same command asks for these answers again"
)

_NUMBERS = re.compile(r"(?<!HTTP )\b\d[\d,.]*")


@dataclass(slots=True)
class EndpointHealth:
    """The answers of one endpoint in this run, as far as they tell that it is of no use.

    Attributes:
        tolerated: Finish reasons of rejections that say nothing about other requests.
    """

    tolerated: frozenset[str] = frozenset()
    answers: int = 0
    textless: Counter[str] = field(default_factory=Counter)  # by their finish reason
    reasoning: int = 0  # of these, those that are nothing but reasoning
    reasoning_tokens: int = 0
    rejections: int = 0
    reason: str = ""

    def add(self, completions: Sequence[Completion]) -> FatalError | None:
        """Count completions; return why nothing good is to be expected of others, if so."""
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
            return  # nearly all, and how they ended is not asked here
        status = status_of(completion)
        if status in WITHOUT_TEXT:
            self.textless[completion.finish_reason] += 1
        if status == "reasoning":
            self.reasoning += 1
            self.reasoning_tokens += completion.usage.completion_tokens


def does_not_answer(endpoint: str, model: str, error: Exception, section: str) -> FatalError:
    """The endpoint is gone."""
    return _fatal(
        "The endpoint does not answer.",
        where=f"{endpoint}, model '{model}'",
        found=error,
        hint=f"start the server, or correct {section}.base_url; the same command continues",
    )


def completes_nothing(
    endpoint: str, model: str, error: Exception, calls: int, section: str
) -> FatalError:
    """The endpoint is there, but has not completed a single call."""
    return _fatal(
        f"The endpoint answers, but completes no call: {calls} were given up.",
        where=f"{endpoint}, model '{model}'",
        found=error,
        hint=f"see that a model's API is behind {section}.base_url, and that it is well; "
        "the same command continues",
    )


def asks_for_too_long(endpoint: str, wait_s: float, most_s: float, section: str) -> FatalError:
    """The endpoint wants to be left alone for longer than the configuration waits."""
    return _fatal(
        "The endpoint asks to be left alone for long.",
        where=endpoint,
        found=f"Retry-After: {duration(wait_s)}",
        expected=f"at most {section}.retry_minutes, {duration(most_s)}",
        hint="run the same command again later; it continues where it was",
    )


def takes_no_limit(endpoint: str) -> FatalError:
    """The endpoint refuses a limit on the length of an answer, and there is a hard limit."""
    problem, hint = ENDLESS
    return _fatal(problem, where=endpoint, hint=hint)


def rejects_everything(completion: Completion, calls: int) -> FatalError:
    """The endpoint rejects one call after the other."""
    return _fatal(
        f"The endpoint rejects every call: {calls} in a row, for the same reason.",
        where=completion.endpoint,
        found=completion.error,
        hint="put that right and run the same command again; it tries the failed calls again",
    )


def mostly_empty(endpoint: str, found: EndpointHealth) -> FatalError:
    """Most answers hold no text, and are paid for all the same."""
    reasons = [f"{n} with finish reason '{reason}'" for reason, n in found.textless.items()]
    thoughts = reasoning_found(found.reasoning, found.reasoning_tokens)
    problem, hint = no_text(found.reasoning, found.textless.total())
    return _fatal(
        f"{problem}: {found.textless.total()} of {found.answers}.",
        where=endpoint,
        found=", ".join(reasons) + (f"; {thoughts}" if thoughts else ""),
        hint=hint,
    )


def no_text(reasoning: int, textless: int) -> tuple[str, str]:
    """Return what is wrong with answers without text, and what to do about it.

    Args:
        reasoning: How many of them are nothing but reasoning.
        textless: How many there are.
    """
    if reasoning > textless / 2:
        return "Most answers are nothing but reasoning", REASONING_ADVICE
    return "Most answers hold no text", EMPTY_ADVICE


def reasoning_found(answers: int, tokens: int) -> str:
    """Return how long the reasoning was of answers that hold nothing else; "" if not known."""
    return f"{tokens / answers:,.0f} tokens of reasoning per answer" if answers and tokens else ""


def _fatal(
    problem: str,
    *,
    where: str,
    found: object = None,
    expected: object = None,
    hint: str,
) -> FatalError:
    return FatalError(problem, where=where, expected=expected, found=found, hint=hint)
