r"""The tolerant parser: the letters of the last answer that a text clearly states.

Markdown, LaTeX (`\boxed{B}`), full-width letters and thoughts in `<think>` tags are removed first.
Then all statements of an answer are found ("Answer: B. The captain", "The correct option is (B)",
"I choose B and D", "No, actually C."), and the last one counts, so a retraction counts, too.
Without a statement, a last line that is only letters is an answer, and so is a text of one line
that begins with a letter as lists do ("B) The captain").

A letter is a capital. "Answer: A captain" states no letter, since A is a word there, and letters
joined by "or" are no answer.
"""

from __future__ import annotations

import re
import unicodedata

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


def stated_letters(text: str) -> str | None:
    """Return the letters of the last answer that a text states, in its order; None without one."""
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
    said = statement["letters"] or statement["before"]
    rest = statement.string[statement.end() :]
    if _OTHERWISE.match(rest):
        return ""
    is_word = said in ("A", "I") and statement["letters"] is not None and _WORD.match(rest)
    return None if is_word else _capitals(said)


def _capitals(said: str) -> str:
    return "".join(re.findall("[A-Z]", said))


def _without_markup(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text).translate(_PLAIN)
    plain = _LONE_END.sub("", _THOUGHT.sub("", plain))
    plain = _BOXED.sub("\nAnswer: {", _LATEX_TEXT.sub(r"\1", plain))
    return _MARKUP.sub("", plain).strip()
