"""Settings of the corpus: which completions become passages."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from steep.core.config import Section


class CorpusConfig(Section):
    """Which completions become passages."""

    truncated: Literal["drop", "trim"] = Field(
        "drop", description="reject truncated texts, or trim them to their last whole sentence"
    )
    min_words: int = Field(8, ge=1, description="reject shorter texts")
    max_repetition: float = Field(
        0.3, gt=0, le=1, description="maximum share of repeated 6-word sequences"
    )
    max_invented: float = Field(
        1.0, ge=0, le=1, description="maximum share of names and numbers that are not in the source"
    )
    check_language: bool = Field(
        True, description="reject texts in another language than the source"
    )
