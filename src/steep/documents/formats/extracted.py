"""What a format's `extract` returns: the text of a file as Markdown, and its metadata."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Extracted:
    """The content of a file.

    Attributes:
        text: Markdown.
        title: From the metadata or the first heading.
        author: From the metadata, several joined with "and".
        year: Of publication, not of the file.
        metadata: For `Document.metadata`, e.g. the number of pages.
        notes: What could not be read although the rest could, one sentence each.
    """

    text: str
    title: str | None = None
    author: str | None = None
    year: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


_GENERATED = re.compile(
    r"untitled|document ?\d*|(power)?point presentation|presentation ?\d*|slide ?\d+|"
    r"microsoft (office )?\w+ - .*|.*\.(docx?|pptx?|indd|tex|dvi|odt|qxd|pages|rtf|wpd|pdf|html?)",
    re.IGNORECASE,
)
_GENERATED_AUTHORS = frozenset(
    ("python-docx", "administrator", "admin", "user", "unknown", "author", "owner", "steve canny")
)


def given_title(title: str | None) -> str | None:
    """Return the title in a file's metadata, unless a program made it up."""
    text = " ".join((title or "").split())
    return text if text and not _GENERATED.fullmatch(text) else None


def given_author(author: str | None) -> str | None:
    """Return the author in a file's metadata, unless it names a program or no person."""
    text = " ".join((author or "").split())
    return text if text and text.lower() not in _GENERATED_AUTHORS else None
