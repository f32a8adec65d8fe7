"""Settings of the corpus: which completions become passages."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from steep.core.config import Section


class FilterSwitches(Section):
    """Which filters are on; the other settings of the corpus say from where on they reject."""

    refused: bool = Field(True, description="reject texts in which the model declines the request")
    short: bool = Field(True, description="reject texts of less than `min_words`")
    repetition: bool = Field(True, description="reject loops and repetitive texts")
    language: bool = Field(True, description="reject texts in another language than the source")
    echo: bool = Field(True, description="reject texts that repeat their prompt or the document")
    meta: bool = Field(
        True, description="reject texts in which the model speaks of itself or of its task"
    )


class CorpusConfig(Section):
    """Which completions become passages."""

    truncated: Literal["drop", "trim", "keep"] = Field(
        "drop",
        description="reject truncated texts, trim them to their last whole sentence, or keep them",
    )
    min_words: int = Field(8, ge=1, description="reject shorter texts")
    max_repetition: float = Field(
        0.3, gt=0, le=1, description="maximum share of repeated 6-word sequences"
    )
    max_invented: float = Field(
        1.0,
        ge=0,
        le=1,
        description="maximum share of names and numbers that are not in the source; "
        "1 switches this filter off",
    )
    max_copied: float = Field(
        0.8,
        gt=0,
        le=1,
        description="maximum share of words in 8-word sequences of the prompt or the document",
    )
    near_duplicates: float | None = Field(
        0.7,
        ge=0.5,
        le=1,
        description="reject a text whose 5-word sequences have this Jaccard similarity, as MinHash "
        "estimates it, to those of an earlier text; null: do not compare",
    )
    near_duplicates_in: Literal["document", "corpus"] = Field(
        "document", description="compare a text with those about its document, or with all"
    )
    filters: FilterSwitches = Field(FilterSwitches(), description="which filters are on")
