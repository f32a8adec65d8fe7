"""Question and answer texts become chats, for instruction tuning and mixing (see `tokens/chat.py`).

A text of the form

    Question: ...
    Answer: ...

with an empty line between two items becomes one chat for each item.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from steep.core.files import disk_errors
from steep.corpus.passage import TextRow

PROBLEMS_KEPT = 5  # of each recipe
_LABEL = r"(?:\*\*)?{}(?:[ \t]+\d+)?:(?:\*\*)?"
_QUESTION = re.compile(rf"^[ \t]*{_LABEL.format('Question')}", re.MULTILINE | re.IGNORECASE)
_ANSWER = re.compile(rf"(?<=\s){_LABEL.format('Answer')}(?=\s|\Z)", re.IGNORECASE)


class BadItem(Exception):
    """A text that is not a sequence of questions and answers; the message says why."""


class ChatItem(NamedTuple):
    """A question and its answer."""

    question: str
    answer: str


@dataclass
class ChatTotals:
    """The passages of a recipe: `passages` = parsed + unparsable + held out.

    Attributes:
        passages: Number of all passages.
        parsed: Number of passages that gave chats.
        chats: Number of chats.
        unparsable: Number of passages without the form of questions and answers.
        held_out: Number of passages that are held out of training.
        problems: The ids of the first unparsable passages, with the reason.
    """

    passages: int = 0
    parsed: int = 0
    chats: int = 0
    unparsable: int = 0
    held_out: int = 0
    problems: list[str] = field(default_factory=list)


def chats_of(text: str) -> list[ChatItem]:
    """Return the questions and answers of a text.

    Raises:
        BadItem: The text is not a sequence of them, or one of them is empty.
    """
    starts = [match.span() for match in _QUESTION.finditer(text)]
    if not starts or text[: starts[0][0]].strip():
        raise BadItem("it does not begin with 'Question:'")
    ends = [start for start, _ in starts[1:]] + [len(text)]
    return [
        _chat(text[after:end], number)
        for number, ((_, after), end) in enumerate(zip(starts, ends, strict=True), start=1)
    ]


def write_chats(
    path: Path, rows: Iterable[TextRow], is_held_out: Callable[[TextRow], bool]
) -> dict[str, ChatTotals]:
    """Write the chats of passages as JSON Lines with `messages`; return the totals by recipe.

    The file appears when it is complete, and only if there is a chat.
    """
    totals: dict[str, ChatTotals] = {}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("w", encoding="utf-8") as file:
                for row in rows:
                    own = totals.setdefault(row.recipe, ChatTotals())
                    for chat in _counted(row, own, is_held_out):
                        file.write(json.dumps(_messages(chat), ensure_ascii=False) + "\n")
            if any(own.chats for own in totals.values()):
                temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    return totals


def _counted(
    row: TextRow, own: ChatTotals, is_held_out: Callable[[TextRow], bool]
) -> Iterable[ChatItem]:
    own.passages += 1
    if is_held_out(row):
        own.held_out += 1
        return ()
    try:
        chats = chats_of(row.text)
    except BadItem as bad:
        own.unparsable += 1
        if len(own.problems) < PROBLEMS_KEPT:
            own.problems.append(f"{row.id}: {bad}")
        return ()
    own.parsed += 1
    own.chats += len(chats)
    return chats


def _chat(item: str, number: int) -> ChatItem:
    match = _ANSWER.search(item)
    if match is None:
        raise BadItem(f"question {number} has no 'Answer:'")
    chat = ChatItem(item[: match.start()].strip(), item[match.end() :].strip())
    if not chat.question or not chat.answer:
        raise BadItem(f"{'answer' if chat.question else 'question'} {number} is empty")
    return chat


def _messages(chat: ChatItem) -> dict[str, list[dict[str, str]]]:
    turns = (("user", chat.question), ("assistant", chat.answer))
    return {"messages": [{"role": role, "content": content} for role, content in turns]}
