"""Subsets of an arm's texts: nested, balanced over documents, of the tokens that were asked for."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from steep.corpus.passage import TextPlace
from steep.tokens.subset import balanced_order, prefix

texts_by_document = st.lists(st.integers(1, 30), min_size=1, max_size=12)
sizes = st.lists(st.integers(1, 4000), min_size=1, max_size=6)


def places_of(texts: list[int]) -> list[TextPlace]:
    """Places in the order of a corpus, which is not balanced at all."""
    return [
        TextPlace(f"{document}-{rank}", "written", f"document-{document}", rank)
        for document, number in enumerate(texts)
        for rank in range(number)
    ]


def lengths_of(places: list[TextPlace]) -> np.ndarray:
    return np.array([7 + (13 * index) % 101 for index in range(len(places))], np.int64)


@given(texts_by_document)
def test_an_order_has_every_text_once(texts: list[int]) -> None:
    places = places_of(texts)
    assert sorted(balanced_order(places).tolist()) == list(range(len(places)))


@given(texts_by_document, sizes)
def test_smaller_subsets_are_part_of_larger_ones(texts: list[int], tokens: list[int]) -> None:
    places = places_of(texts)
    order, lengths = balanced_order(places), lengths_of(places)
    subsets = [prefix(order, lengths, each).texts.tolist() for each in sorted(tokens)]
    for smaller, larger in pairwise(subsets):
        assert larger[: len(smaller)] == smaller


@given(texts_by_document, st.integers(1, 4000))
def test_a_subset_has_the_tokens_that_were_asked_for(texts: list[int], tokens: int) -> None:
    places = places_of(texts)
    order, lengths = balanced_order(places), lengths_of(places)
    subset = prefix(order, lengths, tokens)
    assert subset.tokens == lengths[subset.texts].sum()
    whole = int(lengths.sum())
    if tokens <= whole:
        last = int(lengths[subset.texts[-1]])
        assert tokens <= subset.tokens < tokens + last, "without its last text it is too small"
    else:
        assert subset.tokens == whole


@given(texts_by_document, st.floats(0, 1))
def test_a_prefix_has_the_same_share_of_every_document(texts: list[int], share: float) -> None:
    places = places_of(texts)
    order = balanced_order(places).tolist()
    kept = order[: round(share * len(order))]
    by_document = Counter(places[each].document_id for each in kept)
    counts = {f"document-{each}": number for each, number in enumerate(texts)}
    shares = [(by_document[name], share * number) for name, number in counts.items()]
    assert all(abs(found - wanted) <= 2 for found, wanted in shares), shares


@given(texts_by_document, st.integers(1, 300))
def test_texts_of_a_document_are_taken_in_the_order_of_their_rank(
    texts: list[int], number: int
) -> None:
    places = places_of(texts)
    taken = [places[each] for each in balanced_order(places).tolist()[:number]]
    for document in range(len(texts)):
        ranks = [each.rank for each in taken if each.document_id == f"document-{document}"]
        assert ranks == list(range(len(ranks)))
