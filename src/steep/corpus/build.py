"""Candidates become passages: filtered, counted and ranked; the raw documents come first.

Each candidate becomes a passage or is rejected with a reason, and the totals add up, for all texts
and for each recipe.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from steep.core.calls import RAW_RECIPE
from steep.core.words import fold
from steep.corpus.config import CorpusConfig
from steep.corpus.filters import Source, first_failed_filter
from steep.corpus.language import source_language
from steep.corpus.passage import OF_DOCUMENT, Candidate, Passage, RejectedText
from steep.corpus.phrases import without_assistant_phrases
from steep.documents.clean import clean_text
from steep.documents.document import Document
from steep.documents.names import words_of
from steep.documents.sentences import trim_to_sentence


@dataclass(frozen=True)
class Corpus:
    """All passages in order, all rejected texts, and the totals of both."""

    passages: tuple[Passage, ...]
    rejected: tuple[RejectedText, ...]
    documents: int
    candidates: int
    trimmed: int
    phrases_removed: int

    @cached_property
    def counts(self) -> dict[str, int]:
        """Return the totals: candidates (raw texts included) = passages + rejected."""
        return {
            "candidates": self.candidates,
            "passages": len(self.passages),
            "rejected": len(self.rejected),
            "trimmed": self.trimmed,
            "phrases_removed": self.phrases_removed,
            "documents": self.documents,
            "words": sum(passage.words for passage in self.passages),
        }

    @cached_property
    def reasons(self) -> dict[str, int]:
        """Return the number of rejected texts by reason, the commonest first."""
        return dict(Counter(row.reason for row in self.rejected).most_common())

    @cached_property
    def reasons_by_recipe(self) -> dict[str, dict[str, int]]:
        """Return the reasons for rejected texts, by recipe."""
        counted: dict[str, Counter[str]] = defaultdict(Counter)
        for row in self.rejected:
            counted[row.recipe][row.reason] += 1
        return {recipe: dict(reasons.most_common()) for recipe, reasons in counted.items()}

    @cached_property
    def by_recipe(self) -> dict[str, dict[str, int]]:
        """Return the passages and words of each recipe."""
        totals: dict[str, dict[str, int]] = {}
        for passage in self.passages:
            total = totals.setdefault(passage.recipe, {"passages": 0, "words": 0})
            total["passages"] += 1
            total["words"] += passage.words
        return totals


def build_corpus(
    documents: Sequence[Document], candidates: Iterable[Candidate], config: CorpusConfig
) -> Corpus:
    """Filter and rank the candidates of these documents (wholes, or parts of split ones).

    Ranks follow the order of the candidates, so pass them in the order of the plan.
    """
    builder = _Builder(documents, config)
    for document in builder.raw:
        builder.keep_raw(document)
    for candidate in candidates:
        builder.take(candidate)
    return builder.corpus()


def subset_by_rank(passages: Iterable[Passage], k: int) -> list[Passage]:
    """Return the first `k` passages of each document and recipe; subsets are nested."""
    return [passage for passage in passages if passage.rank < k]


class _Builder:
    """Collects passages and rejected texts."""

    def __init__(self, documents: Sequence[Document], config: CorpusConfig) -> None:
        self.config = config
        self.raw = _raw_documents(documents)
        self.whole_of = {document.id: document.whole_id for document in documents}
        self.whole_of |= {document.whole_id: document.whole_id for document in documents}
        self.sources = _sources(self.raw)
        self.passages: list[Passage] = []
        self.rejected: list[RejectedText] = []
        self.ranks: Counter[tuple[str, str]] = Counter()
        self.seen: defaultdict[str, set[str]] = defaultdict(set)
        self.ids: set[str] = set()
        self.candidates = self.trimmed = self.phrases_removed = 0

    def keep_raw(self, document: Document) -> None:
        """Keep a raw text as a passage, without any filter."""
        self.candidates += 1
        self.seen[document.whole_id].add(_normalized(document.text))
        self._keep(f"{RAW_RECIPE}:{document.id}", document.text, document.whole_id, RAW_RECIPE)

    def take(self, candidate: Candidate) -> None:
        """Keep a candidate as a passage, or reject it."""
        self.candidates += 1
        said = clean_text(candidate.text)
        text = without_assistant_phrases(said)
        trims = candidate.status == "truncated" and self.config.truncated == "trim"
        if trims:
            text = trim_to_sentence(text)
        reason = self._failed_filter(candidate, text, trims)
        if reason is not None:
            self._rejected(candidate, reason)
            return
        whole_id = self.whole_of[candidate.document_id]
        self.trimmed += trims
        self.phrases_removed += text != said and not trims
        self.seen[whole_id].add(_normalized(text))
        self._keep(candidate.call_id, text, whole_id, candidate.recipe, candidate)

    def corpus(self) -> Corpus:
        """Return the result."""
        return Corpus(
            passages=tuple(self.passages),
            rejected=tuple(self.rejected),
            documents=len(self.raw),
            candidates=self.candidates,
            trimmed=self.trimmed,
            phrases_removed=self.phrases_removed,
        )

    def _failed_filter(self, candidate: Candidate, text: str, trims: bool) -> str | None:
        whole_id = self.whole_of.get(candidate.document_id)
        if candidate.status != "done" and not trims:
            return candidate.status
        if trims and not text:
            return "truncated"
        if whole_id is None:
            return "unknown-document"
        if reason := first_failed_filter(text, self.sources[whole_id], self.config):
            return reason
        return "duplicate" if _normalized(text) in self.seen[whole_id] else None

    def _keep(
        self,
        passage_id: str,
        text: str,
        whole_id: str,
        recipe: str,
        candidate: Candidate | None = None,
    ) -> None:
        rank = self.ranks[whole_id, recipe]
        self.ranks[whole_id, recipe] += 1
        call_id, subset = (candidate.call_id, candidate.subset) if candidate else (None, ())
        # Documents with equal texts share their calls: later ones add their own id.
        if passage_id in self.ids:
            passage_id = (
                f"{passage_id}{OF_DOCUMENT}{candidate.document_id if candidate else whole_id}"
            )
        while passage_id in self.ids:
            passage_id += "+"
        self.ids.add(passage_id)
        self.passages.append(Passage(passage_id, text, whole_id, call_id, rank, recipe, subset))

    def _rejected(self, candidate: Candidate, reason: str) -> None:
        whole_id = self.whole_of.get(candidate.document_id, candidate.document_id)
        self.rejected.append(
            RejectedText(candidate.call_id, whole_id, candidate.recipe, reason, candidate.text)
        )


def _raw_documents(documents: Sequence[Document]) -> list[Document]:
    """Return the documents to train on as they are: wholes, and parts whose whole is not there."""
    ids = {document.id for document in documents}
    return [
        document
        for document in documents
        if document.whole_id == document.id or document.whole_id not in ids
    ]


def _sources(documents: Sequence[Document]) -> Mapping[str, Source]:
    texts: defaultdict[str, list[str]] = defaultdict(list)
    for document in documents:
        texts[document.whole_id] += [document.title, document.text]
    return {
        whole_id: Source(source_language(parts), words_of("\n".join(parts)))
        for whole_id, parts in texts.items()
    }


def _normalized(text: str) -> str:
    return " ".join(fold(text).split())
