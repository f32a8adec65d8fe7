"""Settings of the documents."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from steep.core.config import Section


class DocumentsConfig(Section):
    """Where the documents are, and how long ones are split."""

    path: Path = Field(description="a file or folder: .txt .md .jsonl, or QuALITY's own format")
    split_words: int | None = Field(
        None, ge=50, description="split longer documents at paragraphs into parts of so many words"
    )
