"""From a question to a ranking of chunks: search, then rerank; cached, so that sweeps are free.

As in the paper (appendix F): 128 chunks are found, a reranker scores them all, and the first few of
the ranking are shown. `top_chunks` decides afterwards how many, and in which order.

A ranking is cached under a hash of all chunks, the settings, the names of embedder and reranker,
and the question.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from steep.core.config import identity_fields
from steep.core.errors import UserError
from steep.core.ids import stable_hash
from steep.core.progress import Progress
from steep.retrieval.cache import RetrievalCache
from steep.retrieval.chunks import Chunk, hash_of
from steep.retrieval.config import RetrievalConfig
from steep.retrieval.embed import Embedder, embed_texts
from steep.retrieval.index import BM25Index, Hit, VectorIndex, fuse, sorted_hits
from steep.retrieval.rerank import Candidates, Reranker

Order = Literal["best_first", "best_last"]
QUESTIONS_AT_ONCE = 64  # ranked between two writes to the cache


class Retriever:
    """Ranks the chunks of a corpus.

    The cache must be open. An embedder is needed unless the search is by words only.

    Raises:
        UserError: There are no chunks, or the embedder is missing.
    """

    def __init__(
        self,
        chunks: Sequence[Chunk],
        settings: RetrievalConfig,
        cache: RetrievalCache,
        embedder: Embedder | None = None,
        reranker: Reranker | None = None,
    ) -> None:
        if not chunks:
            raise UserError("There are no chunks to search.", expected="at least one", found=0)
        if settings.search != "bm25" and embedder is None:
            raise UserError(
                f"The search '{settings.search}' needs an embedder.",
                hint="pass one, or search with 'bm25'",
            )
        self.chunks = tuple(chunks)
        self._settings, self._cache = settings, cache
        self._embedder = embedder if settings.search != "bm25" else None
        self._reranker = reranker
        self._words: BM25Index | None = None
        self._vectors: VectorIndex | None = None
        names = [each.name if each else None for each in (self._embedder, reranker)]
        decisive = identity_fields("retrieval", settings, of=RetrievalConfig)
        self.key = stable_hash([hash_of(chunks), decisive, *names])

    def rank(self, questions: Sequence[str]) -> list[list[Hit]]:
        """Return, for each question, the found chunks, best first, as places in `chunks`.

        Raises:
            UserError: A question is blank, or the embedder or reranker fails.
        """
        blank = next((n for n, text in enumerate(questions, start=1) if not text.strip()), None)
        if blank is not None:
            raise UserError("A question is blank.", found=f"question {blank}")
        keys = [stable_hash([self.key, question]) for question in questions]
        known = self._cache.rankings(keys)
        new = {key: text for key, text in zip(keys, questions, strict=True) if key not in known}
        progress = Progress("retrieval", len(new), "questions")
        for start in range(0, len(new), QUESTIONS_AT_ONCE):
            progress.update(start)
            some = list(new)[start : start + QUESTIONS_AT_ONCE]
            rankings = dict(zip(some, self._ranked([new[key] for key in some]), strict=True))
            self._cache.add_rankings(rankings)
            known |= rankings
        return [known[key] for key in keys]

    def _ranked(self, questions: Sequence[str]) -> list[list[Hit]]:
        found = list(self._search(questions))
        if self._reranker is None:
            return found
        return rerank(self._reranker, questions, found, self.chunks, self._settings.reranked)

    def _search(self, questions: Sequence[str]) -> Iterator[list[Hit]]:
        k = self._settings.found
        match self._settings.search:
            case "bm25":
                return self._by_words(questions, k)
            case "embeddings":
                return self._by_vectors(questions, k)
        both = zip(self._by_words(questions, k), self._by_vectors(questions, k), strict=True)
        return (fuse(rankings, k) for rankings in both)

    def _by_words(self, questions: Sequence[str], k: int) -> Iterator[list[Hit]]:
        if self._words is None:
            self._words = BM25Index([chunk.shown for chunk in self.chunks])
        return self._words.search(questions, k)

    def _by_vectors(self, questions: Sequence[str], k: int) -> Iterator[list[Hit]]:
        assert self._embedder is not None
        before = self._settings.question_prefix
        if self._vectors is None:
            texts = [self._settings.chunk_prefix + chunk.shown for chunk in self.chunks]
            vectors_ND = embed_texts(self._embedder, texts, self._cache)
            self._vectors = VectorIndex(vectors_ND)
        asked = embed_texts(self._embedder, [before + text for text in questions], self._cache)
        if asked.shape[1] != self._vectors.dimension:
            raise UserError(
                "The embedder returned vectors of different sizes for questions and chunks.",
                where=self._embedder.name,
                expected=f"{self._vectors.dimension} numbers",
                found=asked.shape[1],
            )
        return self._vectors.search(asked, k)


def rerank(
    reranker: Reranker,
    questions: Sequence[str],
    found: Sequence[Sequence[Hit]],
    chunks: Sequence[Chunk],
    depth: int,
) -> list[list[Hit]]:
    """Order the first `depth` hits of each question by the reranker; the rest stay behind them.

    Raises:
        UserError: A score is not finite, or there is not one per text.
    """
    candidates = [
        Candidates(question, tuple(chunks[hit.place].shown for hit in hits[:depth]))
        for question, hits in zip(questions, found, strict=True)
    ]
    all_scores = reranker.score(candidates)
    return [
        _reordered(reranker.name, hits, scores, depth)
        for hits, scores in zip(found, all_scores, strict=True)
    ]


def _reordered(name: str, hits: Sequence[Hit], scores: Sequence[float], depth: int) -> list[Hit]:
    first, rest = hits[:depth], hits[depth:]
    if len(scores) != len(first) or not np.isfinite(scores).all():
        raise UserError(
            "The reranker returned scores that cannot be used.",
            where=name,
            expected=f"{len(first)} finite numbers, one per text",
            found=f"{len(scores)}: {list(scores)[:5]}",
        )
    new = [Hit(hit.place, score) for hit, score in zip(first, scores, strict=True)]
    return sorted_hits(new) + list(rest)


def top_chunks(
    hits: Sequence[Hit], chunks: Sequence[Chunk], k: int, order: Order = "best_first"
) -> list[Chunk]:
    """Return the `k` best chunks of a ranking, in the order in which they are shown."""
    top = [chunks[hit.place] for hit in hits[:k]]
    return top if order == "best_first" else top[::-1]
