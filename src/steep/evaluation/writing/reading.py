"""Read what models write: the questions of a writer, and the answer to a question."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from steep.core.formatting import quoted, shorten
from steep.documents.clean import one_line
from steep.documents.document import Document
from steep.evaluation.engines import TOO_LONG, Output
from steep.evaluation.judge_calls import json_values
from steep.evaluation.prompts import LETTERS
from steep.evaluation.writing.candidates import Kind, QuestionCandidate, RejectedQuestion
from steep.evaluation.writing.prompts import NOT_STATED

MOST_QUESTION_CHARACTERS, MOST_ANSWER_CHARACTERS = 400, 200
MOST_TEXT = 400  # characters of an answer that are kept with its rejection
_CAUSES = {  # of an answer without a question, by its finish reason
    TOO_LONG: "the text is longer than the context of the writer; documents.split_tokens splits it",
    "length": "cut off before the first question; questions.max_tokens is too low",
}
_EMPTY = re.compile(r"\[\s*\]\W*$")
_ANSWER = re.compile(r"^[\W_]*answer\W*[:\uff1a]\s*(.*)$", re.IGNORECASE | re.MULTILINE)
_ASKS = (
    r"(?:in |on |at |by |for |to |of )?(?:which|what|who|whom|whose|when|where|why|how"
    r"|welche[rsnm]?|wer|wann|wo|warum|wie|quel(?:le)?s?|qui|quand|qu\u00e9|qui\u00e9n|cu\u00e1ndo"
    r"|cu\u00e1l)\b"
)
# Two interrogatives, the second after a semicolon or ", and" ("and who" without a comma may go on
# with a relative clause); or something after a question mark.
_SECOND_QUESTION = re.compile(
    rf"^\W*{_ASKS}.*?((?:;|, (?:and|und|et|y|e)) {_ASKS}[^?]*\?"
    r"| and (?:in )?(?:what|how|why|when)\b[^?]*\?)|(\?\s+\S.*\?|\uff1f.+\uff1f)",
    re.IGNORECASE,
)
_LETTER = re.compile(r"(?<![A-Za-z])([A-Z])(?![A-Za-z'])")


class ReadAnswer(NamedTuple):
    """The candidates in an answer of the writer, and what could not be read."""

    candidates: tuple[QuestionCandidate, ...]
    rejected: tuple[RejectedQuestion, ...]


def read_questions(output: Output, kind: Kind, parts: Sequence[Document], count: int) -> ReadAnswer:
    """Read the questions in an answer; at most `count`, as further ones were not asked for."""
    found = list(_objects(output.text))
    if not found and _EMPTY.search(output.text):
        return ReadAnswer((), ())  # the text gives no further questions
    if not found:
        why = _CAUSES.get(output.finish_reason, "no JSON list of questions")
        return ReadAnswer((), (_unreadable(why, output.text),))
    candidates: list[QuestionCandidate] = []
    rejected: list[RejectedQuestion] = []
    for number, each in enumerate(found):
        if number >= count:
            rejected.append(_unreadable("more questions than were asked for", str(each)))
            continue
        try:
            candidates.append(_candidate(each, kind, parts).identified())
        except ValueError as error:
            rejected.append(_unreadable(str(error), str(each)))
    return ReadAnswer(tuple(candidates), tuple(rejected))


def _unreadable(reason: str, text: str) -> RejectedQuestion:
    return RejectedQuestion("unreadable", reason, None, shorten(text, MOST_TEXT))


def _objects(text: str) -> Iterator[Mapping[str, Any]]:
    """Yield the objects with a question, whole ones of a list that was cut off included."""
    for value in json_values(text):
        yield from _questions_in(value)


def _questions_in(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the questions in a JSON value; an object is a list of its pairs."""
    if not isinstance(value, list):
        return
    if value and all(isinstance(each, tuple) for each in value):
        if "question" in (keys := dict(value)):
            yield keys
            return
        value = list(keys.values())
    for each in value:
        yield from _questions_in(each)


def _candidate(
    found: Mapping[str, Any], kind: Kind, parts: Sequence[Document]
) -> QuestionCandidate:
    """Return the candidate of an object.

    Raises:
        ValueError: A field is missing, or no text.
    """
    joins = kind in ("joined", "across")
    quotes = _texts(found, "quotes") if joins else (_text(found, "quote"),)
    if joins and len(quotes) != 2:
        raise ValueError(f"expected two quotations, found {len(quotes)}")
    answer = _text(found, "answer")
    aliases = _texts(found, "aliases") if found.get("aliases") else ()
    is_short = kind == "short-answer"
    wrong = () if is_short else _texts(found, "wrong")
    if len(question := _text(found, "question")) > MOST_QUESTION_CHARACTERS:
        raise ValueError(f"the question is longer than {MOST_QUESTION_CHARACTERS} characters")
    if found_second := _SECOND_QUESTION.search(question):
        raise ValueError(
            f"two questions in one: {quoted(found_second[found_second.lastindex or 0], 60)}"
        )
    if max(map(len, (answer, *aliases, *wrong))) > MOST_ANSWER_CHARACTERS:
        raise ValueError(f"an answer is longer than {MOST_ANSWER_CHARACTERS} characters")
    return QuestionCandidate(
        kind=kind,
        part_ids=tuple(each.id for each in parts),
        document_ids=tuple(each.whole_id for each in parts),
        question=question,
        answers=tuple(dict.fromkeys((answer, *aliases))) if is_short else (answer,),
        wrong=wrong,
        quotes=quotes,
    )


def _text(found: Mapping[str, Any], key: str) -> str:
    value = found.get(key)
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not one_line(value):
        raise ValueError(f"expected a text as '{key}', found {shorten(repr(value), 60)}")
    return one_line(value)


def _texts(found: Mapping[str, Any], key: str) -> tuple[str, ...]:
    values = found.get(key)
    if not isinstance(values, list):
        raise ValueError(f"expected a list as '{key}', found {shorten(repr(values), 60)}")
    return tuple(_text({key: value}, key) for value in values)


def read_answer(text: str) -> str | None:
    """Return what stands after the last "Answer:"; a short text without it is an answer, too.

    None if there is no answer, or it is "not stated".
    """
    found = _ANSWER.findall(text)
    lines = [line for line in text.strip().split("\n") if line.strip()]
    said = found[-1] if found else lines[0] if len(lines) == 1 else ""
    said = one_line(said.strip(" *_`."))
    return None if not said or NOT_STATED.casefold() in said.casefold() else said


def read_needed(text: str) -> int | None:
    """Return the one needed sentence, 1 or 2; None if an answer names both, or none."""
    named = set(re.findall(r"\b[12]\b", read_answer(text) or ""))
    return int(named.pop()) if len(named) == 1 else None


def read_letters(text: str, options: int) -> tuple[int, ...]:
    """Return the places of the options that an answer names; none if it names none."""
    said = read_answer(text)
    if said is None:
        return ()
    places = {LETTERS.index(letter) for letter in _LETTER.findall(said)}
    return tuple(sorted(place for place in places if place < options))
