"""Parsers: the letters that a text chooses, or the reason why it chooses none.

- `strict` (ours): the last line must be `Answer: B.` (or `Answer: BD.`, commas and a missing full
  stop allowed) and nothing else.
- `lenient` (ours): the last answer that the text clearly states, with or without markup (see
  `lenient.py`).
- `paper`: the text ends in a letter and a full stop (section 4.1), whatever stands before.
- `paper-code`: the text is cut at the first `Answer: ` + distinct letters on offer + `.` and a line
  break, as the 64 stop strings of the paper's code cut it; without one it is discarded. The last of
  the letters counts, so that `Answer: AB.` is B. At the very end of a text no break is asked for,
  since our own stop string takes it away.

The last two are kept to compare with published figures. They take a single letter, so of a question
with several right options they can get none right. Whatever the reading, a letter must be on offer:
one that is not makes the text invalid, with that reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from steep.evaluation.lenient import stated_letters
from steep.evaluation.prompts import LETTERS
from steep.evaluation.results import ParserName

ONE_LETTER: frozenset[ParserName] = frozenset({"paper", "paper-code"})

NO_ANSWER_LINE = "the last line is no answer line"
NOTHING_STATED = "it does not clearly state an answer"
NO_LETTER_AT_END = "the text does not end in a letter and a full stop"
NO_STOP_STRING = "there is no answer in it"
NOT_ON_OFFER = "a letter that is not on offer"
TWICE = "a letter twice"

_ANSWER_LINE = re.compile(r"Answer: ([A-Z](?:(?:, ?)?[A-Z])*)\.?")
_STOP_STRING = re.compile(r"Answer: ([A-Z]+)\.(?=\n|\Z)")


class Parsed(NamedTuple):
    """The letters chosen, in alphabetical order, or an empty string and the reason."""

    letters: str
    why_not: str | None = None


def parse(text: str, options: int, parser: ParserName) -> Parsed:
    """Read the answer to a question of so many options."""
    return PARSERS[parser](text, LETTERS[:options])


def _strict(text: str, offered: str) -> Parsed:
    last_line = text.rstrip().rpartition("\n")[2].strip()
    found = _ANSWER_LINE.fullmatch(last_line)
    return _checked(re.sub("[, ]", "", found[1]), offered) if found else Parsed("", NO_ANSWER_LINE)


def _lenient(text: str, offered: str) -> Parsed:
    letters = stated_letters(text)
    return _checked(letters, offered) if letters else Parsed("", NOTHING_STATED)


def _paper(text: str, offered: str) -> Parsed:
    found = re.search(r"([A-Z])\.$", text.rstrip())
    return _checked(found[1], offered) if found else Parsed("", NO_LETTER_AT_END)


def _paper_code(text: str, offered: str) -> Parsed:
    refused = Parsed("", NO_STOP_STRING)
    for found in _STOP_STRING.finditer(text):
        verdict = _checked(found[1], offered)
        if verdict.why_not is None:
            return Parsed(found[1][-1])
        refused = verdict
    return refused


def _checked(letters: str, offered: str) -> Parsed:
    if not set(letters) <= set(offered):
        return Parsed("", NOT_ON_OFFER)
    if len(set(letters)) < len(letters):
        return Parsed("", TWICE)
    return Parsed("".join(sorted(letters)))


PARSERS: dict[ParserName, Callable[[str, str], Parsed]] = {
    "strict": _strict,
    "lenient": _lenient,
    "paper": _paper,
    "paper-code": _paper_code,
}
