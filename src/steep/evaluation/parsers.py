"""Parsers: the letters that a text chooses, or the reason why it chooses none.

- `strict` (ours): the last line must be `Answer: B.` (or `Answer: BD.`, commas and a missing full
  stop allowed) and nothing else.
- `lenient` (ours): the last answer that the text clearly states, see `stated_letters`.
- `paper`: the text ends in a letter and a full stop (section 4.1).
- `paper-code`: the text is cut at the first `Answer: ` + distinct letters on offer + `.` and a line
  break, as the 64 stop strings of the paper's code cut it; without one it is discarded. The last of
  the letters counts. At the very end of a text no break is needed: our stop string removes it.

The last two are kept to compare with published figures. They take a single letter, so of a question
with several right options they can get none right. A letter must be on offer in all of them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import NamedTuple

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

_THOUGHT = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL)
_LONE_END = re.compile(r".*</think(?:ing)?>", re.DOTALL)
_LATEX_TEXT = re.compile(r"\\(?:text(?:bf|it|rm|tt)?|math(?:bf|rm|it|sf))\s*\{([^{}]*)\}")
_BOXED = re.compile(r"\\f?boxed\s*\{")
_MARKUP = re.compile(r"[*_`$~]|\\[()\[\]]|\\[ ,;:!]")
_PLAIN = str.maketrans(
    "\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}\N{LEFT DOUBLE QUOTATION MARK}"
    "\N{RIGHT DOUBLE QUOTATION MARK}\N{EN DASH}\N{EM DASH}",
    "''\"\"--",
)

_LETTERS = r"[(\[{\"']*[A-Z]+(?![A-Za-z0-9]|'[a-z])[)\]}\"']*"
_LIST = rf"{_LETTERS}(?:(?:\s*[,;&+]\s*|\s*,?\s+and\s+){_LETTERS})*"
_NOUN = r"(?:(?:the\s+)?(?:options?|choices?|letters?|answers?)\s*:?\s*)?"
_LINK = r"(?:\s*(?:[:=-]+|\b(?:is|are|was|would\s+be|must\s+be|should\s+be)\b))+\s*"
_STATEMENT = re.compile(
    rf"""(?:
        (?i:\b(?:answers?|(?:correct|right|best|final)\s+(?:choice|option)s?)
            (?:\s+(?:to|for)\s[^.:\n]{{1,60}}?)?{_LINK}{_NOUN})
      | (?i:\bI(?:\s+would|\s+will|'d|'ll)?\s+(?:choose|pick|select|go\s+with)\s+{_NOUN})
      | (?i:\b(?:wait|no|actually|correction|sorry|rather)\b\W{{1,3}}
            (?:(?:it|that|this)(?:'s|\s+(?:is|must\s+be|should\s+be))\s+)?{_NOUN})
    )(?P<letters>{_LIST})
    | (?P<before>{_LIST})\s+(?i:(?:is|are)\s+the\s+(?:correct|right|best)\s+
        (?:answer|choice|option)s?)""",
    re.VERBOSE,
)
_OTHERWISE = re.compile(rf"\s*(?:/|,?\s*\bor\b)\s*{_LETTERS}")
_WORD = re.compile(r"[ \t]+(?!(?:because|since|as|and|but|which)\b)[a-z]")  # after the word A or I
_LAST_LINE = re.compile(rf"({_LIST})\s*\.?")
_LISTED = re.compile(r"[(\[]?([A-Z])[)\].:]+\s+\S")


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


def stated_letters(text: str) -> str | None:
    """Return the letters of the last answer that a text states, in its order; None without one.

    Thoughts and markup are removed, then statements of an answer are found ("Answer: B. The
    captain", "The correct option is (B)", "I choose B and D", "No, actually C."). The last one
    counts, so a retraction counts, too. Without a statement, a last line of letters only is an
    answer, and so is a text of one line that begins with a letter as lists do ("B) The captain").
    A letter is a capital. "Answer: A captain" states no letter, since A is a word there, and
    letters joined by "or" are no answer.
    """
    plain = _without_markup(text)
    found = [letters for each in _STATEMENT.finditer(plain) if (letters := _of(each)) is not None]
    if found:
        return found[-1] or None
    last_line = plain.rpartition("\n")[2].strip()
    if bare := _LAST_LINE.fullmatch(last_line):
        return _capitals(bare[1])
    listed = _LISTED.match(plain) if "\n" not in plain else None
    return listed[1] if listed else None


def _of(statement: re.Match[str]) -> str | None:
    """Return the letters of a statement; "" for alternatives, None if it is no statement."""
    letters = statement["letters"] or statement["before"]
    rest = statement.string[statement.end() :]
    if _OTHERWISE.match(rest):
        return ""
    is_word = letters in ("A", "I") and statement["letters"] is not None and _WORD.match(rest)
    return None if is_word else _capitals(letters)


def _capitals(letters: str) -> str:
    return "".join(re.findall("[A-Z]", letters))


def _without_markup(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text).translate(_PLAIN)
    plain = _LONE_END.sub("", _THOUGHT.sub("", plain))
    plain = _BOXED.sub("\nAnswer: {", _LATEX_TEXT.sub(r"\1", plain))
    return _MARKUP.sub("", plain).strip()
