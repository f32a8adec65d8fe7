"""Measure how diverse the texts of each recipe are, and what they share with their documents.

All texts pass once. What grows faster than the number of texts is measured on a sample: the same
`SAMPLED_DOCUMENTS` documents for every recipe, an equal share of `SAMPLED_WORDS` words of each,
from texts in the order of a hash of their ids. So recipes and corpora of different sizes compare.
Texts are compared with their source for `COMPARED_DOCUMENTS` documents, as in the paper (Table 4).
"""

from __future__ import annotations

import gzip
import heapq
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from steep.core.ids import derive_seed, stable_hash
from steep.core.ngrams import Hashes, WordHasher, ngrams
from steep.core.numbers import located_numbers, number_places
from steep.core.words import word_scale, word_spans, words_of
from steep.corpus.diversity_result import DISTINCT_N, OVERLAP_N, Diversity, Share
from steep.corpus.passage import FullText
from steep.corpus.source_spans import RUN_WORDS
from steep.documents.document import Document
from steep.documents.mentions import MentionIndex
from steep.documents.names import proper_names

SAMPLED_DOCUMENTS, SAMPLED_WORDS = 40, 20_000
COMPARED_DOCUMENTS = 100
MOST_ENTITIES = 200  # of one document
REPEATED_N = 4
SEED = "diversity"
_HASHER = WordHasher()

Shared = Sequence[tuple[int, int]]  # found and all: of each `OVERLAP_N`, of words, of numbers
ModelsOf = Callable[[Sequence[str]], Mapping[str, str]]


class SourceDocument:
    """What texts about a document are compared with: its n-grams and its entities.

    Args:
        text: The document.
        names: Its entities; those that it does not mention are left out.
    """

    def __init__(self, text: str, names: Sequence[str]) -> None:
        self._index = MentionIndex(text)
        words = _HASHER.hashes(words_of(text))
        self._ngrams = [np.unique(ngrams(words, n)) for n in OVERLAP_N]
        self._numbers = number_places(text).keys()
        found = dict.fromkeys(words for _, words in self._index.find(names))
        self._entities = list(found)[:MOST_ENTITIES]

    @property
    def entities(self) -> int:
        """The number of entities."""
        return len(self._entities)

    def shared(self, text: str, words: Sequence[str]) -> Shared:
        """Return what a text, given with its words, shares with the document, as counts."""
        hashed, size = _HASHER.hashes(words), RUN_WORDS * word_scale(words)
        ngram_counts, run_words = [], 0
        for n, own in zip(OVERLAP_N, self._ngrams, strict=True):
            found = np.isin(ngrams(hashed, n), own)
            ngram_counts.append((int(found.sum()), len(found)))
            if n == size:
                run_words = covered_words(found, n)
        numbers = [each.value in self._numbers for each in located_numbers(text)]
        return [*ngram_counts, (run_words, len(words)), (sum(numbers), len(numbers))]

    def mentioned(self, words: Sequence[str]) -> list[int]:
        """Return the numbers of the entities that a text, given by its words, mentions."""
        text = f" {' '.join(words)} "
        return [
            number
            for number, name in enumerate(self._entities)
            if self._index.is_mentioned(name, text)
        ]


@dataclass(slots=True)
class _Coverage:
    """The entities, and the pairs of them, that the texts about a document mention; as bits."""

    entities: int = 0
    together: dict[int, int] = field(default_factory=dict)

    def take(self, numbers: Sequence[int]) -> None:
        mask = sum(1 << number for number in numbers)
        self.entities |= mask
        for number in numbers:
            self.together[number] = self.together.get(number, 0) | mask

    @property
    def pairs(self) -> int:
        both = sum(mask.bit_count() - 1 for mask in self.together.values())
        return both // 2


class _Sample:
    """The first texts of a document in the order of their hashes, with at least so many words."""

    def __init__(self, words: int) -> None:
        self._wanted = words
        self._words = 0
        self._heap: list[tuple[int, str, int, str]] = []  # the last one of the order first

    def take(self, text: FullText) -> None:
        """Keep a text, if it is one of them."""
        key = -derive_seed(SEED, text.id)
        heapq.heappush(self._heap, (key, text.id, text.words, text.text))
        self._words += text.words
        while self._words - self._heap[0][2] >= self._wanted:
            self._words -= heapq.heappop(self._heap)[2]

    def texts(self) -> Iterator[str]:
        """Yield the texts, the last one cut to the number of words."""
        left = self._wanted
        for _, _, words, text in sorted(self._heap, reverse=True):
            yield text if words <= left else text[: word_spans(text)[left - 1][1]]
            left -= words


class Measure:
    """The measures of one recipe, fed text by text in any order."""

    def __init__(self, sources: Mapping[str, SourceDocument], sampled: Sequence[str]) -> None:
        self._sources = sources
        share = SAMPLED_WORDS // max(1, len(sampled))
        self._samples = {document_id: _Sample(share) for document_id in sampled}
        self._texts = self._words = 0
        self._shared = np.zeros((len(OVERLAP_N) + 2, 2), np.int64)
        self._coverage: defaultdict[str, _Coverage] = defaultdict(_Coverage)

    def take(self, text: FullText) -> None:
        """Add a text."""
        self._texts += 1
        self._words += text.words
        if text.document_id in self._samples:
            self._samples[text.document_id].take(text)
        if (source := self._sources.get(text.document_id)) is not None:
            words = words_of(text.text)
            self._shared += source.shared(text.text, words)
            self._coverage[text.document_id].take(source.mentioned(words))

    def result(self, recipe: str, model: str | None) -> Diversity:
        """Return the measures of all texts so far."""
        texts = [text for sample in self._samples.values() for text in sample.texts()]
        hashed = [_HASHER.hashes(words_of(text)) for text in texts]
        entities = [source.entities for source in self._sources.values()]
        pairs = sum(number * (number - 1) // 2 for number in entities)
        covered = self._coverage.values()
        *overlap, in_runs, numbers = (_share(found, of) for found, of in self._shared.tolist())
        return Diversity(
            recipe=recipe,
            model=model,
            texts=self._texts,
            words=self._words,
            sampled_texts=len(texts),
            sampled_words=sum(map(len, hashed)),
            compression_ratio=compression_ratio(texts),
            distinct=tuple(distinct_share(hashed, n) for n in DISTINCT_N),
            self_repetition=self_repetition(hashed),
            compared_documents=len(self._sources),
            overlap=tuple(overlap),
            words_in_runs=in_runs,
            numbers=int(self._shared[-1, 1]),
            numbers_in_source=numbers,
            entities=sum(entities),
            entity_coverage=_share(sum(e.entities.bit_count() for e in covered), sum(entities)),
            pairs=pairs,
            pair_coverage=_share(sum(each.pairs for each in covered), pairs),
        )


def measure(
    texts: Iterable[FullText],
    documents: Sequence[Document],
    entities: Mapping[str, Sequence[str]],
    imported: Mapping[str, Sequence[str]],
    models_of: ModelsOf,
) -> list[Diversity]:
    """Measure the texts of each recipe, and of each model of imported ones, in one pass.

    Args:
        texts: All passages; a few hundred are in memory at once.
        documents: Their documents, wholes or parts.
        entities: Of whole documents, by id; those of others are their proper names.
        imported: The models of each imported recipe.
        models_of: Returns the models of imported texts by the ids of their calls.
    """
    whole = _whole_texts(documents)
    order = sorted(whole, key=lambda document_id: stable_hash([SEED, document_id]))
    sources = {
        each: SourceDocument(whole[each], entities.get(each) or proper_names(whole[each]))
        for each in order[:COMPARED_DOCUMENTS]
    }
    measures: dict[tuple[str, str | None], Measure] = {}
    for text, model in _with_models(texts, imported, models_of):
        if (text.recipe, model) not in measures:
            measures[text.recipe, model] = Measure(sources, order[:SAMPLED_DOCUMENTS])
        measures[text.recipe, model].take(text)
    return [each.result(*group) for group, each in measures.items()]


def covered_words(is_shared: NDArray[np.bool_], n: int) -> int:
    """Return the number of words in n-grams that are marked, given one mark per n-gram."""
    change = np.zeros(len(is_shared) + n + 1, np.int64)
    change[: len(is_shared)] += is_shared
    change[n : n + len(is_shared)] -= is_shared
    return int((np.cumsum(change) > 0).sum())


def compression_ratio(texts: Sequence[str]) -> float | None:
    """Return the bytes of texts, one per line, divided by their size after gzip; None if empty."""
    data = "\n".join(texts).encode(errors="replace")
    return len(data) / len(gzip.compress(data, 9, mtime=0)) if data else None


def distinct_share(texts: Sequence[Hashes], n: int) -> Share:
    """Return the distinct n-grams of texts, given by their words, divided by all of them."""
    found = np.concatenate([np.empty(0, np.uint64), *(ngrams(words, n) for words in texts)])
    return _share(len(np.unique(found)), len(found))


def self_repetition(texts: Sequence[Hashes], n: int = REPEATED_N) -> Share:
    """Return the share of the n-grams of a text that occur in another one, over all n-grams."""
    found = [ngrams(words, n) for words in texts]
    every, texts_with = np.unique(
        np.concatenate([np.empty(0, np.uint64), *map(np.unique, found)]), return_counts=True
    )
    several = every[texts_with > 1]
    repeated = sum(int(np.isin(each, several).sum()) for each in found)
    return _share(repeated, sum(map(len, found)))


def _share(part: int, whole: int) -> Share:
    return part / whole if whole else None


def _whole_texts(documents: Sequence[Document]) -> dict[str, str]:
    """Return the texts of whole documents by id; of one that is not there, its parts."""
    parts: defaultdict[str, list[str]] = defaultdict(list)
    for each in documents:
        parts[each.whole_id].append(each.own_text)
    whole = {each.id: each.text for each in documents if each.id == each.whole_id}
    return {name: whole.get(name) or "\n".join(texts) for name, texts in parts.items()}


def _with_models(
    texts: Iterable[FullText], imported: Mapping[str, Sequence[str]], models_of: ModelsOf
) -> Iterator[tuple[FullText, str | None]]:
    """Yield texts with their models; those of recipes with several are looked up in groups."""
    stream = iter(texts)
    while some := list(itertools.islice(stream, 256)):
        several = [each for each in some if len(imported.get(each.recipe, ())) > 1]
        models = models_of([each.call_id for each in several if each.call_id]) if several else {}
        for each in some:
            only = imported.get(each.recipe, ())
            model = only[0] if len(only) == 1 else models.get(each.call_id or "")
            yield each, model
