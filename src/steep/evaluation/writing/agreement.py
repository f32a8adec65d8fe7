"""Whether two short texts give the same answer, by their words.

Words are compared without case, punctuation, articles and titles of persons. Numbers agree in
digits, words and with separators (`12,000`, `twelve`), dates in any usual order (`May 4, 1874`,
`4. Mai 1874`, `1874-05-04`). A reply may say more than the accepted answer, or name a person by the
last name alone. It may not add another number, hedge (`A or B`) or deny.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from steep.core.numbers import NUMBER_WORDS
from steep.core.words import words_of

_WORDS = {
    "articles": "a an the der die das den dem des le la les el los las il lo gli",
    "titles": "mr mrs ms miss dr prof professor sir dame lord lady king queen prince princess "
    "emperor empress captain colonel general major sergeant lieutenant admiral president saint "
    "father reverend bishop pope count countess duke duchess baron baroness herr frau monsieur "
    "madame mme mlle señor señora don",
    "of": "of de du di",
    "small": "in on at by from to with about of for im am an von bei mit aus en por con par",
    "hedges": "or not no neither nor either oder nicht ou pas",
}
_ARTICLES, _TITLES, _OF, _SMALL, _HEDGES = (
    frozenset(_WORDS[name].split()) for name in ("articles", "titles", "of", "small", "hedges")
)
# The names of each month: English, German, French, Spanish.
_MONTH_NAMES = (
    "january jan januar janvier enero",
    "february feb februar février febrero",
    "march mar märz mars marzo",
    "april apr avril abril",
    "may mai mayo",
    "june jun juni juin junio",
    "july jul juli juillet julio",
    "august aug août agosto",
    "september sep sept septembre septiembre",
    "october oct oktober octobre octubre",
    "november nov novembre noviembre",
    "december dec dezember décembre diciembre",
)
_MONTHS = {
    name: f"m{number:02d}"
    for number, names in enumerate(_MONTH_NAMES, start=1)
    for name in names.split()
}
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th|\.)?"
_YEAR = r"(?P<year>\d{4})"
_DATES = (
    re.compile(rf"\b{_DAY}\s+(?:(?:of|de)\s+)?(?P<month>{_MONTH})\.?,?\s+(?:de\s+)?{_YEAR}\b"),
    re.compile(rf"\b(?P<month>{_MONTH})\.?\s+{_DAY},?\s+{_YEAR}\b"),
    re.compile(r"\b(?P<year>\d{4})-(?P<number>\d{2})-(?P<day>\d{2})\b"),
    re.compile(rf"\b(?P<month>{_MONTH})\.?,?\s+(?:of\s+|de\s+)?{_YEAR}\b"),
)
_DATE_PART = re.compile(r"[md]\d\d")
_BOUND = re.compile(
    r"\b(?:(?P<more>more than|over|at least|above|mehr als|\u00fcber|mindestens|plus de"
    r"|m\u00e1s de)|less than|fewer than|under|at most|below|up to|weniger als|unter"
    r"|h\u00f6chstens|moins de|menos de) (?=\d)",
    re.IGNORECASE,
)
_THOUSANDS = re.compile(r"(?<![\d.,])(\d{1,3})((?:[,'\u2019\u00a0\u202f ]\d{3})+)(?!\d)")
_RANGE = re.compile(r"(?<=\d)\s*[-\u2013\u2014]\s*(?=\d)")
_ORDINAL = re.compile(r"\b(\d+)(?:st|nd|rd|th)\b")
_PERCENT = re.compile(r"%|\bper cent\b")


def agrees(reply: str, accepted: str) -> bool:
    """Return whether a reply gives the accepted answer."""
    said, right = compared_words(reply), compared_words(accepted)
    if not said or not right:
        return False
    if said == right:
        return True
    if set(said) & _HEDGES - set(right):
        return False
    if contains(said, right):
        return not numbers(right) or numbers(said) == numbers(right)
    if numbers(said) != numbers(right):
        return False
    if all(map(str.isdecimal, said)):
        return not any(map(_DATE_PART.fullmatch, right))  # a number without its unit
    is_end = said == right[-len(said) :] and right[-len(said) - 1] not in _OF
    return is_end and accepted.split()[-1][:1].isupper()


def agrees_with_any(reply: str, accepted: Sequence[str]) -> bool:
    """Return whether a reply gives one of the accepted answers."""
    return any(agrees(reply, each) for each in accepted)


def agrees_either(one: str, other: str) -> bool:
    """Return whether one of two answers gives the other one."""
    return agrees(one, other) or agrees(other, one)


def same_answer(one: str, other: str) -> bool:
    """Return whether two answers say the same, none of them more than the other.

    An answer that has the words of another one and more ("NP-complete" and "NP") is another one,
    but for a last name, and a number without its unit.
    """
    first, second = compared_words(one), compared_words(other)
    if _without(list(first), _SMALL) == _without(list(second), _SMALL) != []:
        return True
    return (not contains(first, second) and agrees(one, other)) or (
        not contains(second, first) and agrees(other, one)
    )


def makes_right(option: str, right: str) -> bool:
    """Return whether an option is right, too: equal to the right one, or implied by it.

    Implied are a wider date, and a wider bound ("more than 200" by "more than 600").
    """
    said, given = compared_words(option), compared_words(right)
    is_wider_date = contains(given, said) and numbers(given) == numbers(said) != frozenset()
    return same_answer(option, right) or is_wider_date or _is_wider(option, right)


def _is_wider(option: str, right: str) -> bool:
    """Return whether an option is a bound that the number of the right one keeps, too."""
    bound, value = _BOUND.search(option), _BOUND.search(right)
    said, given = (numbers(compared_words(each)) for each in (option, right))
    if bound is None or not len(said) == len(given) == 1:
        return False
    if value is not None and (value["more"] is None) != (bound["more"] is None):
        return False
    (low,), (high,) = (map(int, each) for each in (said, given))
    return low < high if bound["more"] else low > high


def contains(words: Sequence[str], part: Sequence[str]) -> bool:
    """Return whether words contain others, one after another."""
    size = len(part)
    return any(words[start : start + size] == part for start in range(len(words) - size + 1))


def numbers(words: Sequence[str]) -> frozenset[str]:
    """Return the distinct numbers among words."""
    return frozenset(filter(str.isdecimal, words))


@lru_cache(maxsize=4096)
def compared_words(text: str) -> tuple[str, ...]:
    """Return the words of a text in the form in which they are compared."""
    plain = text.lower()
    for pattern in _DATES:
        plain = pattern.sub(_date, plain)
    plain = _THOUSANDS.sub(lambda match: re.sub(r"\D", "", match[0]), plain)
    plain = _PERCENT.sub(" percent ", _ORDINAL.sub(r"\1", _RANGE.sub(" to ", plain)))
    words = [NUMBER_WORDS.get(word, word) for word in words_of(plain)]
    return tuple(_without_titles(_without(words, _ARTICLES)))


def _date(match: re.Match[str]) -> str:
    """Return year, month and day, each a word of its own, the widest first."""
    found = match.groupdict()
    month = f"m{found['number']}" if found.get("number") else _MONTHS[found["month"]]
    day = f" d{int(found['day']):02d}" if found.get("day") else ""
    return f" {found['year']} {month}{day} "


def _without(words: list[str], dropped: frozenset[str]) -> list[str]:
    """Drop some words, unless nothing would be left."""
    return [word for word in words if word not in dropped] or words


def _without_titles(words: list[str]) -> list[str]:
    """Drop titles that stand before a name."""
    pairs = zip(words, [*words[1:], "of"], strict=False)  # a title alone is a word like others
    return [word for word, after in pairs if word not in _TITLES or after in _OF]
