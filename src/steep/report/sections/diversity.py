"""The diversity of the texts of each recipe, and what they share with their documents."""

from __future__ import annotations

from collections.abc import Sequence

from steep.core.calls import RAW_RECIPE
from steep.core.formatting import count, decimal, percent, plural
from steep.corpus.diversity_result import DISTINCT_N, OVERLAP_N, Diversity
from steep.corpus.source_spans import RUN_WORDS
from steep.report.blocks import Column, Part, Table, table

HEADING = "Diversity"
NONE = "none"
SHOWN_N = (2, 4)  # of the distinct n-grams


def diversity(found: Sequence[Diversity]) -> Part | None:
    """Return the tables; None without any text."""
    if not found:
        return None
    return Part(HEADING, [_within(found), _with_source(found)])


def _within(found: Sequence[Diversity]) -> Table:
    columns: list[Column[Diversity]] = [
        ("recipe", _name),
        ("words", lambda each: each.words),
        ("sampled words", lambda each: each.sampled_words),
        ("gzip ratio", lambda each: _ratio(each.compression_ratio)),
        *(
            (f"distinct {n}-grams", lambda each, n=n: _share(each.distinct[DISTINCT_N.index(n)]))
            for n in SHOWN_N
        ),
        ("repeated 4-grams", lambda each: _share(each.self_repetition)),
    ]
    note = (
        "The last four columns are of the sampled words, an equal share per document; compare rows "
        "with equal samples. A higher gzip ratio is more repetition. Repeated 4-grams occur in "
        "another text, too."
    )
    return table(found, columns, note)


def _with_source(found: Sequence[Diversity]) -> Table:
    columns: list[Column[Diversity]] = [
        ("recipe", _name),
        *(
            (f"{n}-grams of source", lambda each, place=place: _share(each.overlap[place], 2))
            for place, n in enumerate(OVERLAP_N)
        ),
        ("words in runs", lambda each: _share(each.words_in_runs)),
        ("numbers in source", _numbers),
        ("entities covered", lambda each: _share(each.entity_coverage)),
        ("pairs covered", lambda each: _share(each.pair_coverage)),
    ]
    first = found[0]
    note = (
        f"All texts about {plural(first.compared_documents, 'document')} with "
        f"{plural(first.entities, 'entity', 'entities')} and {plural(first.pairs, 'pair')} of "
        "them: the share of n-grams that occur in the document, too, of words in runs of "
        f"{RUN_WORDS} or more from the document, of numbers that occur in it, and of entities "
        "(pairs) that some text mentions (together)."
    )
    return table(found, columns, note)


def _name(each: Diversity) -> str:
    if each.recipe == RAW_RECIPE:
        return "documents"
    return f"{each.recipe} ({each.model})" if each.model else each.recipe


def _numbers(each: Diversity) -> str:
    share = _share(each.numbers_in_source)
    return f"{share} of {count(each.numbers)}" if each.numbers else share


def _ratio(value: float | None) -> str:
    return NONE if value is None else decimal(value, 2)


def _share(value: float | None, decimals: int = 1) -> str:
    return NONE if value is None else percent(value, decimals)
