"""The result of measuring the diversity of a corpus, as it is stored, printed and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from steep.core.files import read_json, write_json

DIVERSITY_NAME = "diversity.json"
DISTINCT_N = (1, 2, 3, 4)
OVERLAP_N = (2, 4, 8, 16)  # the paper's Table 4
Share = float | None  # from 0 to 1; None where there is nothing to measure


@dataclass(frozen=True, slots=True)
class Diversity:
    """How diverse the texts of a recipe are, and how much of the source they repeat and cover.

    Attributes:
        recipe: Name of the recipe; that of the documents themselves is `documents`.
        model: The model that wrote imported texts; None for texts of a generation.
        texts: Number of passages.
        words: Number of words in them.
        sampled_texts: Texts in the sample, of which the next four are measured.
        sampled_words: Words in it.
        compression_ratio: Bytes of the sample divided by its size after gzip, level 9. It rises
            with repetition (Shaib et al. 2024, "Standardizing the measurement of text diversity").
        distinct: Distinct n-grams divided by all n-grams, for each n of `DISTINCT_N` (Li et al.
            2016, "A diversity-promoting objective function").
        self_repetition: Share of the 4-grams of a text that also occur in another text (after
            Salkar et al. 2022, who count the texts with such a 4-gram).
        compared_documents: Documents whose texts are compared with their source, all of them.
        overlap: Share of the n-grams of the texts that occur in their document, for each n of
            `OVERLAP_N`. The paper (Table 4) divides by the number of tokens, and by those of the
            Llama 3 tokenizer; these are words.
        words_in_runs: Share of the words of the texts that stand in runs of their document, as in
            `source_spans`; None in artifacts of earlier versions.
        numbers: Numbers of the texts that are written in digits, each time they occur.
        numbers_in_source: Share of them that occur in the document.
        entities: Entities of the compared documents.
        entity_coverage: Share of them that a text about their document mentions.
        pairs: Pairs of entities of the same document.
        pair_coverage: Share of them that a text mentions together.
    """

    recipe: str
    model: str | None
    texts: int
    words: int
    sampled_texts: int
    sampled_words: int
    compression_ratio: float | None
    distinct: tuple[Share, ...]
    self_repetition: Share
    compared_documents: int
    overlap: tuple[Share, ...]
    entities: int
    entity_coverage: Share
    pairs: int
    pair_coverage: Share
    words_in_runs: Share = None
    numbers: int = 0
    numbers_in_source: Share = None


def write_diversity(directory: Path, found: Sequence[Diversity]) -> None:
    """Write the results of all recipes into an artifact."""
    write_json(directory / DIVERSITY_NAME, as_json(found))


def as_json(found: Sequence[Diversity]) -> list[dict[str, Any]]:
    """Return the results as plain data."""
    return [asdict(each) for each in found]


def read_diversity(directory: Path) -> list[Diversity]:
    """Read what `write_diversity` wrote."""
    rows = read_json(directory / DIVERSITY_NAME)
    tuples = ("distinct", "overlap")
    return [Diversity(**row | {name: tuple(row[name]) for name in tuples}) for row in rows]
