"""The first noun: a `Document` is a text with a title and a stable id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Document:
    """One source text. `id` is the same over reruns and machines.

    A part of a split document has the id `<whole>#<number>` and names the whole in
    `metadata["part_of"]`; questions and confidence intervals refer to the whole.
    """

    id: str
    title: str
    text: str
    author: str | None = None
    year: int | None = None
    source: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def whole_id(self) -> str:
        """The id of the document that this one is a part of, or its own."""
        return self.metadata.get("part_of", self.id)

    @property
    def author_name(self) -> str:
        """The author as "First Last", whichever way the source wrote it; empty if unknown."""
        last, comma, first = (self.author or "").partition(", ")
        return f"{first} {last}" if comma else last

    @property
    def heading(self) -> str:
        """Title, author and year as in the paper's code, e.g. `"Title", First Last, 1961.` here."""
        parts = [f'"{self.title}"']
        if self.author_name:
            parts.append(self.author_name)
        if self.year:
            parts.append(str(self.year))
        return ", ".join(parts) + "."


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that could not be read: where it stood (`file` or `file:line`), and why."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file or folder held: its documents, what was skipped, how many files there were."""

    documents: tuple[Document, ...]
    skipped: tuple[Skipped, ...]
    files: int
