"""Settings of the documents."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from steep.core.config import Section

LEAST_SPLIT_TOKENS = 50


class DocumentsConfig(Section):
    """Settings of the documents."""

    path: Path = Field(description="a file or folder: .txt, .md, .jsonl, or the format of QuALITY")
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
