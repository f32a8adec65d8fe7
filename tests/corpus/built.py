"""A corpus in memory, as tests look at it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from steep.corpus.build import CorpusTotals, build_corpus
from steep.corpus.config import CorpusConfig
from steep.corpus.passage import Candidate, Passage, RejectedText
from steep.documents.document import Document


class Built(NamedTuple):
    """What `build_corpus` has kept and rejected, and the totals."""

    passages: list[Passage]
    rejected: list[RejectedText]
    totals: CorpusTotals


def built(
    documents: Sequence[Document],
    candidates: Iterable[Candidate],
    config: CorpusConfig | None = None,
    processes: int | None = None,
) -> Built:
    """Return the passages and rejected texts of some candidates."""
    passages: list[Passage] = []
    rejected: list[RejectedText] = []
    totals = build_corpus(
        documents,
        candidates,
        config or CorpusConfig(),
        passages.append,
        rejected.append,
        processes,
    )
    return Built(passages, rejected, totals)
