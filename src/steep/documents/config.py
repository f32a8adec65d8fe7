"""Settings of the documents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from steep.core.config import Section

HubName = Annotated[str, Field(pattern="^hf://")]


class ColumnsConfig(Section):
    """Names of columns or keys: of JSON, JSON Lines, CSV, Parquet and data sets."""

    id: str | None = Field(
        None, description="null: id, doc_id, ...; without one, the file's name and a hash"
    )
    title: str | None = Field(
        None, description="null: title, headline, ...; without one, the first line of the text"
    )
    text: str | tuple[str, ...] | None = Field(
        None, description="several are joined as paragraphs; null: text, content, body, ..."
    )
    author: str | None = Field(None, description="null: author, authors, ...")
    year: str | None = Field(None, description="a year or a date; null: year, date, ...")


class DocumentsConfig(Section):
    """Settings of the documents."""

    path: Path | HubName = Field(
        description="a file, folder, pattern (docs/**/*.md), archive, or hf://owner/name"
    )
    columns: ColumnsConfig = Field(
        ColumnsConfig(), description="names of columns, where they cannot be guessed"
    )
    split_words: int | None = Field(
        None, ge=50, description="maximum words of a document; longer ones are split at paragraphs"
    )
