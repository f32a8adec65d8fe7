"""Settings of the corpus: which completions become passages."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from steep.core.config import Section


class CorpusConfig(Section):
    """Which completions become passages."""

    truncated: Literal["drop", "trim"] = Field(
        "drop", description="cut-off texts: rejected, or trimmed to their last whole sentence"
    )
    min_words: int = Field(8, ge=1, description="shorter texts are rejected as degenerate")
    max_repetition: float = Field(
        0.3, gt=0, le=1, description="share of repeated 6-word runs above which a text is a loop"
    )
    max_invented: float = Field(
        1.0, ge=0, le=1, description="largest share of names and numbers strange to the source"
    )
    check_language: bool = Field(True, description="reject texts in a language not the source's")
