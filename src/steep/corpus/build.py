"""Candidates become passages: filtered, counted and ranked; the raw documents come first.

Each candidate becomes a passage or is rejected with a reason, and the totals add up, for all texts
and for each recipe.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from steep.core.calls import RAW_RECIPE
from steep.core.words import count_words, fold
from steep.corpus.config import CorpusConfig
from steep.corpus.filters import Source, first_failed_filter, source_language
from steep.corpus.passage import OF_DOCUMENT, Candidate, Passage, RejectedText
from steep.corpus.phrases import without_assistant_phrases
from steep.documents.clean import clean_text
from steep.documents.document import Document
from steep.documents.names import words_of
from steep.documents.sentences import trim_to_sentence


def build_corpus(
    documents: Sequence[Document], candidates: Iterable[Candidate], config: CorpusConfig
) -> Corpus:
    """Filter and rank the candidates of these documents (wholes, or parts of split ones).

    Ranks follow the order of the candidates, so pass them in the order of the plan.
    """
    corpus = Corpus(documents, config)
    for candidate in candidates:
        corpus.take(candidate)
    return corpus


class Corpus:
    """All passages in order, all rejected texts, and the totals of both.

    The raw texts of the documents are passages without any filter.
    """

    def __init__(self, documents: Sequence[Document], config: CorpusConfig) -> None:
        self.passages: list[Passage] = []
        self.rejected: list[RejectedText] = []
        raw = _raw_documents(documents)
        self._config, self._documents = config, len(raw)
        self._whole_of = {document.id: document.whole_id for document in documents}
        self._whole_of |= {document.whole_id: document.whole_id for document in documents}
        self._sources = _sources(raw)
        self._ranks: Counter[tuple[str, str]] = Counter()
        self._seen: defaultdict[str, set[str]] = defaultdict(set)
        self._ids: set[str] = set()
        self._trimmed = self._phrases_removed = 0
        for document in raw:
            self._keep(f"{RAW_RECIPE}:{document.id}", document.text, document.whole_id)

    def take(self, candidate: Candidate) -> None:
        """Keep a candidate as a passage, or reject it."""
        said = clean_text(candidate.text)
        text = candidate.text if candidate.is_passage else without_assistant_phrases(said)
        trims = candidate.status == "truncated" and self._config.truncated == "trim"
        if trims:
            text = trim_to_sentence(text)
        whole_id = self._whole_of.get(candidate.document_id)
        reason = self._failed_filter(candidate, whole_id, text, trims)
        if reason is not None:
            owner, recipe = whole_id or candidate.document_id, candidate.recipe
            row = RejectedText(candidate.call_id, owner, recipe, reason, candidate.text)
            self.rejected.append(row)
            return
        assert whole_id is not None
        self._trimmed += trims
        self._phrases_removed += text != said and not trims
        self._keep(candidate.call_id, text, whole_id, candidate)

    @property
    def counts(self) -> dict[str, int]:
        """Return the totals: candidates (raw texts included) = passages + rejected."""
        return {
            "candidates": len(self.passages) + len(self.rejected),
            "passages": len(self.passages),
            "rejected": len(self.rejected),
            "trimmed": self._trimmed,
            "phrases_removed": self._phrases_removed,
            "documents": self._documents,
            "words": sum(passage.words for passage in self.passages),
        }

    @property
    def reasons(self) -> dict[str, int]:
        """Return the number of rejected texts by reason, the commonest first."""
        return dict(Counter(row.reason for row in self.rejected).most_common())

    @property
    def reasons_by_recipe(self) -> dict[str, dict[str, int]]:
        """Return the reasons for rejected texts, by recipe."""
        counted: dict[str, Counter[str]] = defaultdict(Counter)
        for row in self.rejected:
            counted[row.recipe][row.reason] += 1
        return {recipe: dict(reasons.most_common()) for recipe, reasons in counted.items()}

    @property
    def by_recipe(self) -> dict[str, dict[str, int]]:
        """Return the passages and words of each recipe."""
        totals: dict[str, dict[str, int]] = {}
        for passage in self.passages:
            total = totals.setdefault(passage.recipe, {"passages": 0, "words": 0})
            total["passages"] += 1
            total["words"] += passage.words
        return totals

    def _failed_filter(
        self, candidate: Candidate, whole_id: str | None, text: str, trims: bool
    ) -> str | None:
        if candidate.status != "done" and not trims:
            return candidate.status
        if trims and not text:
            return "truncated"
        if whole_id is None:
            return "unknown-document"
        if reason := first_failed_filter(text, self._sources[whole_id], self._config):
            return reason
        return "duplicate" if _normalized(text) in self._seen[whole_id] else None

    def _keep(
        self, passage_id: str, text: str, whole_id: str, candidate: Candidate | None = None
    ) -> None:
        recipe = candidate.recipe if candidate else RAW_RECIPE
        call_id, subset = (candidate.call_id, candidate.subset) if candidate else (None, ())
        rank = self._ranks[whole_id, recipe]
        self._ranks[whole_id, recipe] += 1
        self._seen[whole_id].add(_normalized(text))
        # Documents with equal texts share their calls: later ones add their own id.
        if passage_id in self._ids:
            passage_id += f"{OF_DOCUMENT}{candidate.document_id if candidate else whole_id}"
        while passage_id in self._ids:
            passage_id += "+"
        self._ids.add(passage_id)
        self.passages.append(
            Passage(passage_id, text, whole_id, call_id, rank, recipe, subset, count_words(text))
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
