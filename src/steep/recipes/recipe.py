"""The extension point of this room: a `Recipe` turns a document into calls.

Recipes are pure: no network, no clock, no disk. What they need back from the generator is handed
to them, and what they plan is lazy and addressed by index, so that a document with ten thousand
triplets costs no memory and "the first k calls" is the same set on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from steep.core.calls import Call
from steep.documents.document import Document


class CallSequence(Protocol):
    """The calls of one document, by index and lazily: none is built until it is asked for.

    `key` names the sequence: it changes whenever any call in it could, but not when calls are only
    added at its end. The ledger files under it which calls have ended.
    """

    @property
    def key(self) -> str:
        """Hash of all that decides about the calls, but for their number."""
        ...

    def __len__(self) -> int:
        """The number of calls."""
        ...

    def __getitem__(self, index: int, /) -> Call:
        """The call of this rank."""
        ...


class Recipe(Protocol):
    """From a document and what its opening returned, a lazy, seeded, addressable list of calls."""

    @property
    def name(self) -> str:
        """What the recipe is called in configuration, ledger and corpus."""
        ...

    def opening(self, document: Document, texts: Sequence[str | None]) -> Call | None:
        """The next call that must be answered before `calls` can be planned, or None if none is.

        Args:
            document: The document.
            texts: What the opening calls so far returned, in order; None for a failed one.
        """
        ...

    def calls(self, document: Document, texts: Sequence[str | None]) -> CallSequence:
        """All further calls, in order of rank; empty when the opening gave nothing to work with."""
        ...

    def passage(self, call: Call, text: str) -> str | None:
        """The training text in the answer to `call`, or None when it holds none."""
        ...
