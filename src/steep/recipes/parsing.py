"""Read lists, sections, questions and verdicts from the answers of models.

Models number what they should not number, bold what should be plain, and greet. What has the form
that was asked for is read, whatever the decoration; all else is left out.
"""

# ruff: noqa: RUF001
from __future__ import annotations

import re
from typing import NamedTuple

# Neither a negative number, a decimal number, a time of day nor a bold word begins with a mark.
_BULLET = re.compile(
    r"^[ \t]*(?:[-+](?!\d)|\*(?!\*)|[•‣·]|\(?\d{1,3}(?:[.):](?!\d)|[、．]))[ \t]*(?=\S)"
)
_HEADINGS = [  # of the second level; of the third one if there are none
    re.compile(rf"^[ \t]*{marks}[ \t]+(.+?)[ \t#]*$", re.MULTILINE) for marks in ("##", "###")
]
_DECORATION = re.compile(r"^[\s*_`\"“”'「『]+|[\s*_`\"“”'」』]+$")
_NUMBER = re.compile(r"^(?:\(?\d{1,3}[.):、．]|(?:strategy|section)\s*\d{1,3}\s*[:.)-])\s*", re.I)
_QUESTION = r"(?:question|q|frage|f|pregunta|domanda|pergunta|вопрос|问题|問題|問|问|질문)"
_ANSWER = r"(?:answer|a|antwort|réponse|respuesta|risposta|resposta|ответ|答案|回答|答|답변|답)"
_LABEL = re.compile(
    rf"^[ \t>*_#-]*(?:(?P<asks>(?:\d{{1,3}}[.)][ \t]*)?[*_]*{_QUESTION})|{_ANSWER})"
    r"[ \t]*\d*[*_]*[ \t]*[:：][*_]*",
    re.IGNORECASE | re.MULTILINE,
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
    """Return the text under each second-level heading, by the heading without a number.

    Without a second-level heading, those of the third level count. The texts of a heading that
    comes twice are joined.
    """
    places = next(filter(None, (list(each.finditer(text)) for each in _HEADINGS)), [])
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
    """Return the questions that have an answer, each with it, in order."""
    labels = list(_LABEL.finditer(text))
    asking = [place for place, label in enumerate(labels) if label["asks"]]
    ends = [*(label.start() for label in labels), len(text)]
    found = []
    for place, following in zip(asking, [*asking[1:], len(labels)], strict=False):
        if place + 1 < following:
            question = plain(text[labels[place].end() : ends[place + 1]])
            answer = text[labels[place + 1].end() : ends[following]].strip(" \t\n*_")
            found.append(QuestionAnswer(question, answer))
    return [each for each in found if all(each)]


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
