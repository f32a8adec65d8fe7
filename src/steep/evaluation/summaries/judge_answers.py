"""From what a judge wrote to claims and verdicts, or the reason why there are none.

The answer is the last JSON value of the right kind in the text: judges put prose, code fences and
thoughts around it. It must be whole and valid. A list that was cut off is not repaired, as its
counts would be too low without anybody knowing. An empty list must stand at the end, and the form
that the prompt shows is no answer: weak judges repeat what they are told.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from steep.documents.clean import one_line
from steep.evaluation.summaries.prompts import FORM_OF_CLAIMS

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
    """What a judge says of a claim. None where it says nothing that can be read, with the reason.

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
    """Read a list of claims; an empty list is an answer too."""
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
    """So many verdicts that could not be read, all for the same reason."""
    return (Verdict(None, None, why_not),) * claims


def json_values(text: str) -> Iterator[Any]:
    """The whole lists and objects in a text, none within another; an object as its pairs."""
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
    """An object with all of its pairs: of a key that comes twice, `dict` would keep one."""


def _unwrapped(value: Any) -> Any:
    """The only value of an object: where servers enforce an object, judges put their list there."""
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
    """Words of a text, `true` and `false` also as JSON writes them; anything else is no verdict."""
    if isinstance(value, bool):
        return [str(value).lower()]
    return re.findall(r"\w+", value.casefold()) if isinstance(value, str) else ["?"]
