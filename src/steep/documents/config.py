"""Settings of the documents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from steep.core.config import Section

LEAST_SPLIT_TOKENS = 50
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
    split_tokens: int | None = Field(
        None,
        ge=LEAST_SPLIT_TOKENS,
        description="maximum tokens of a document; longer ones are split at headings, then "
        "paragraphs, then sentences (docs/documents.md)",
    )
    split_overlap: int = Field(
        0,
        ge=0,
        description="tokens of the end of a part that the next one repeats; at most half of "
        "split_tokens",
    )
    split_words: int | None = Field(
        None,
        ge=50,
        description="in place of split_tokens: maximum words; parts of equal length, cut at "
        "paragraphs and never by headings",
    )

    @model_validator(mode="after")
    def _splits_in_one_way(self) -> DocumentsConfig:
        if self.split_tokens is not None and self.split_words is not None:
            raise ValueError("set split_tokens or split_words, not both")
        if self.split_overlap > (self.split_tokens or 0) // 2:
            raise ValueError(
                f"split_overlap: expected at most half of split_tokens, "
                f"{self.split_tokens or 'which is not set'}; found {self.split_overlap}"
            )
        return self
