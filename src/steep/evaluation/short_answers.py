"""A question with a short answer becomes a choice among the answers to its neighbors.

A likelihood needs options to compare, and the answers to other questions about the same title are
of the right kind: names, years and places of the same subject. What is drawn depends on the
question's id and on the set of answers alone, never on the order of the file or on the machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from steep.core.ids import derive_seed
from steep.core.permutation import Permutation

MOST_DISTRACTORS = 7


class Choice(NamedTuple):
    """Options in the order in which they are scored, and the index of the right one."""

    options: tuple[str, ...]
    gold: int


def choice_among(question_id: str, accepted: tuple[str, ...], others: Iterable[str]) -> Choice:
    """Set the first accepted answer among a seeded draw of the other answers.

    An other answer that holds an accepted one, or lies within one, might be right too and is never
    drawn. The right one's place is drawn too: ties go to the first option and must not favor it.
    """
    usable = distractors(accepted, others)
    draw = Permutation(len(usable), derive_seed("distractors", question_id))
    drawn = [usable[draw[index]] for index in range(min(MOST_DISTRACTORS, len(usable)))]
    unordered = [accepted[0], *drawn]
    order = Permutation(len(unordered), derive_seed("option order", question_id))
    places = [order[index] for index in range(len(unordered))]
    return Choice(tuple(unordered[place] for place in places), places.index(0))


def distractors(accepted: tuple[str, ...], others: Iterable[str]) -> list[str]:
    """The distinct other answers that cannot be mistaken for an accepted one, in a fixed order."""
    right = [_key(answer) for answer in accepted]
    by_key: dict[str, str] = {}
    for answer in sorted(others):
        key = _key(answer)
        if not any(key in one or one in key for one in right):
            by_key.setdefault(key, answer)
    return list(by_key.values())


def _key(answer: str) -> str:
    return " ".join(answer.casefold().split())
