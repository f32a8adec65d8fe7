"""Read lists, sections, questions and verdicts from the answers of models.

Models number what they should not number, bold what should be plain, and greet. What has the form
that was asked for is read, whatever the decoration; all else is left out.
"""

# ruff: noqa: RUF001
from __future__ import annotations

import re
from typing import NamedTuple

_BULLET = re.compile(r"^[ \t]*(?:[-*+•‣·]|\(?\d{1,3}[.):、．])[ \t]*(?=\S)")
_HEADING = re.compile(r"^[ \t]*##[ \t]+(.+?)[ \t#]*$", re.MULTILINE)
_DECORATION = re.compile(r"^[\s*_`\"“”'「『]+|[\s*_`\"“”'」』]+$")
_NUMBER = re.compile(r"^(?:\(?\d{1,3}[.):、．]|(?:strategy|section)\s*\d{1,3}\s*[:.)-])\s*", re.I)
_QUESTION = r"(?:question|q|frage|f|pregunta|domanda|pergunta|вопрос|问题|問題|問|问|질문)"
_ANSWER = r"(?:answer|a|antwort|réponse|respuesta|risposta|resposta|ответ|答案|回答|答|답변|답)"
_ITEM = re.compile(
    rf"^[ \t>*_#-]*(?:\d{{1,3}}[.)][ \t]*)?[*_]*{_QUESTION}[ \t]*\d*[*_]*[ \t]*[:：][*_]*(.+?)"
    rf"^[ \t>*_#-]*[*_]*{_ANSWER}[ \t]*\d*[*_]*[ \t]*[:：][*_]*(.+?)"
    rf"(?=^[ \t>*_#-]*(?:\d{{1,3}}[.)][ \t]*)?[*_]*{_QUESTION}[ \t]*\d*[*_]*[ \t]*[:：]|\Z)",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)
_VERDICT = re.compile(
    r"(?:verdict|answer|judg(?:e)?ment)[*_ \t]*[:：][*_ \t]*[\"'“]?(yes|no)\b"
    r"|^[\s*_`\"'“]*(yes|no)\b",
    re.IGNORECASE | re.MULTILINE,
)
_NUMBERED_VERDICT = re.compile(
    r"^\W*(\d{1,3})\W+(?:(?:verdict|faithful)\W+)?(yes|no)\b", re.IGNORECASE | re.MULTILINE
)


class QuestionAnswer(NamedTuple):
    """A question with its answer."""

    question: str
    answer: str


def sections_of(text: str) -> dict[str, str]:
    """Return what stands under each heading of the second level, by the heading without a number.

    The text of a heading that comes twice is joined.
    """
    places = list(_HEADING.finditer(text))
    found: dict[str, str] = {}
    ends = [*(place.start() for place in places[1:]), len(text)]
    for place, end in zip(places, ends, strict=False):
        name = _NUMBER.sub("", plain(place[1]))
        body = text[place.end() : end].strip()
        if name:
            found[name] = "\n\n".join(filter(None, (found.get(name), body)))
    return found


def items_of(text: str, *, marked_only: bool = False) -> list[str]:
    """Return the items of a list, one per line, each once.

    Every line counts if none has a mark of a list, unless `marked_only`.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    marked = [_BULLET.sub("", line) for line in lines if _BULLET.match(line)]
    found = (plain(line) for line in marked or ([] if marked_only else lines))
    return list(dict.fromkeys(filter(None, found)))


def questions_of(text: str) -> list[QuestionAnswer]:
    """Return the questions with their answers, in order."""
    found = ((plain(match[1]), match[2].strip(" \t\n*_")) for match in _ITEM.finditer(text))
    return [QuestionAnswer(question, answer) for question, answer in found if question and answer]


def verdict_of(text: str) -> bool | None:
    """Return the last verdict, yes or no, or None where there is none: prose, for example."""
    found = [match[1] or match[2] for match in _VERDICT.finditer(text)]
    return found[-1].lower() == "yes" if found else None


def verdicts_of(text: str, items: int) -> dict[int, bool]:
    """Return the verdicts on numbered items, by their numbers from 1; the last one of each.

    A single item needs no number.
    """
    found = {int(number): word.lower() == "yes" for number, word in _NUMBERED_VERDICT.findall(text)}
    known = {number: verdict for number, verdict in found.items() if 1 <= number <= items}
    if not known and items == 1 and (only := verdict_of(text)) is not None:
        return {1: only}
    return known


def written(items: list[QuestionAnswer]) -> str:
    """Return questions and answers as training text, an empty line between two."""
    return "\n\n".join(f"Question: {each.question}\nAnswer: {each.answer}" for each in items)


def plain(line: str) -> str:
    """Return a line without the marks of bold, quotations and code around it."""
    return " ".join(_DECORATION.sub("", line.replace("**", "")).split())
