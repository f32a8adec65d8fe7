"""Documents: texts with a title and a stable id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from steep.core.formatting import count

EMPTY = "the file is empty"
TITLE_SEPARATOR = " > "
BETWEEN_PARTS = "\n\n"  # what stands between two parts of a document, unless they say otherwise


@dataclass(frozen=True, slots=True)
class Document:
    """A source text, whose `id` is stable across reruns and machines.

    A part of a split document has the id `<whole>#<number>` and names the whole in
    `metadata["part_of"]`; questions and confidence intervals refer to the whole. Of a part by
    structure, `metadata` also has the titles above it (`title_path`), where its own text begins
    (`own_start`, in characters) and what stood before that in the whole (`gap_before`).
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
        """Return the id of the document that this one is a part of, or its own."""
        return self.metadata.get("part_of", self.id)

    @property
    def full_title(self) -> str:
        """Return the title, of a part with those above it: `Handbook > 3 Leave > 3.2 Parents`."""
        path = self.metadata.get("title_path")
        return f"{self.title}{TITLE_SEPARATOR}{path}" if path else self.title

    @property
    def own_start(self) -> int:
        """Return where the text begins, in characters, after what it repeats of other parts."""
        return int(self.metadata.get("own_start", 0))

    @property
    def own_text(self) -> str:
        """Return the text without what it repeats of other parts."""
        return self.text[self.own_start :]

    @property
    def author_name(self) -> str:
        """Return the author as "First Last", for any order in the source; empty if unknown."""
        last, comma, first = (self.author or "").partition(", ")
        return f"{first} {last}" if comma else last

    @property
    def heading(self) -> str:
        """Return full title, author and year in the format of the paper's code."""
        parts = [f'"{self.full_title}"']
        if self.author_name:
            parts.append(self.author_name)
        if self.year:
            parts.append(str(self.year))
        return ", ".join(parts) + "."


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that could not be read: its place (`file` or `file:line`), and the reason.

    Attributes:
        source: The file, or the file with the number of a line, row or element.
        reason: What was expected and what was found.
        kept: The document is kept all the same; the reason says what was assumed or left out.
    """

    source: str
    reason: str
    kept: bool = False

    @property
    def label(self) -> str:
        """Return the place, with a word for what happened there."""
        return f"{'note on' if self.kept else 'skipped'} {self.source}"


def reason_lines(skipped: Iterable[Skipped]) -> list[str]:
    """Return one line per reason: its first place, how many more there are, and the reason."""
    groups: dict[tuple[bool, str], list[Skipped]] = {}
    for each in skipped:
        groups.setdefault((each.kept, each.reason), []).append(each)
    return [_reason_line(first, len(more)) for first, *more in groups.values()]


def _reason_line(first: Skipped, more: int) -> str:
    also = f" and {count(more)} more" if more else ""
    return f"{first.label}{also}: {first.reason}"


@dataclass(frozen=True, slots=True)
class Reading:
    """The documents of a file or folder, what was skipped or noted, and the number of files."""

    documents: tuple[Document, ...]
    skipped: tuple[Skipped, ...]
    files: int

    @property
    def left_out(self) -> int:
        """Return the number of files and records that were skipped, without notes."""
        return sum(not each.kept for each in self.skipped)
