"""The types of this package: a `Candidate` becomes a `Passage` or a `RejectedText`."""

from __future__ import annotations

from dataclasses import dataclass

from steep.core.calls import Status
from steep.core.words import count_words

OF_DOCUMENT = "@"  # separates call and document in the ids of passages of a shared call


@dataclass(frozen=True, slots=True)
class Candidate:
    """A generated or imported text before filtering."""

    text: str
    document_id: str  # the document, or the part of it, that the call was about
    call_id: str
    recipe: str
    subset: tuple[str, ...] = ()
    status: Status = "done"
    finish_reason: str = "stop"


@dataclass(frozen=True, slots=True)
class Passage:
    """A clean training text with its provenance.

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
        """Return the number of words."""
        return count_words(self.text)


@dataclass(frozen=True, slots=True)
class RejectedText:
    """A rejected candidate, and the reason."""

    call_id: str
    document_id: str
    recipe: str
    reason: str
    text: str
