"""The types of this package: a `Candidate` becomes a `Passage` or a `RejectedText`."""

from __future__ import annotations

from dataclasses import dataclass

from steep.core.calls import Status
from steep.core.words import count_words

OF_DOCUMENT = "@"  # in the id of a passage whose call two documents share: call, sign, document


@dataclass(frozen=True, slots=True)
class Candidate:
    """A text that a call returned (or somebody imported), before anyone looked at it."""

    text: str
    document_id: str  # of the document or of the part that the call was about
    call_id: str
    recipe: str
    subset: tuple[str, ...] = ()
    status: Status = "done"
    finish_reason: str = "stop"


@dataclass(frozen=True, slots=True)
class Passage:
    """A clean training text and where it comes from.

    `rank` orders the passages of one recipe within a whole document, so that the first k of every
    document are a nested, document-balanced subset. A raw text has no call.
    """

    id: str
    text: str
    document_id: str  # of the whole document
    call_id: str | None
    rank: int
    recipe: str
    subset: tuple[str, ...] = ()

    @property
    def words(self) -> int:
        """How many words it has."""
        return count_words(self.text)


@dataclass(frozen=True, slots=True)
class RejectedText:
    """A candidate that is not trained on, and why."""

    call_id: str
    document_id: str
    recipe: str
    reason: str
    text: str
