"""Settings of the documents."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from steep.core.config import Section


class DocumentsConfig(Section):
    """Settings of the documents."""

    path: Path = Field(description="a file or folder: .txt, .md, .jsonl, or the format of QuALITY")
    split_words: int | None = Field(
        None, ge=50, description="maximum words of a document; longer ones are split at paragraphs"
    )
