"""Candidates become passages: filtered, counted and ranked; the raw documents come first.

Each candidate becomes a passage or is rejected with a reason, and the totals add up, for all texts
and for each recipe. Texts flow through: kept in memory are a batch of candidates per core, and
per passage two hashes and a sketch of 0.3 kB.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from operator import itemgetter

from steep.core.calls import RAW_RECIPE
from steep.core.ids import stable_hash
from steep.core.near_duplicates import NearDuplicates
from steep.core.progress import Progress
from steep.corpus.check import KEY_BYTES, Batch, Checked, check_batch, kept
from steep.corpus.config import CorpusConfig
from steep.corpus.passage import OF_DOCUMENT, Candidate, Passage, RejectedText
from steep.corpus.workers import ordered_map, usable_cores
from steep.documents.document import Document
from steep.ledger.ledger import chunks

BATCH = 128  # candidates that a core checks at once
EXAMPLES = 3  # of rejected texts per reason
EXCERPT_CHARACTERS = 240
FEW_BATCHES = 8  # so many are checked sooner than other processes start


def build_corpus(
    documents: Sequence[Document],
    candidates: Iterable[Candidate],
    config: CorpusConfig,
    keep: Callable[[Passage], None],
    reject: Callable[[RejectedText], None],
    processes: int | None = None,
) -> CorpusTotals:
    """Filter and rank the candidates of these documents (wholes, or parts of split ones).

    Ranks follow the order of the candidates, so pass them in the order of the plan.

    Args:
        documents: The documents.
        candidates: Read lazily, once.
        config: The settings.
        keep: Takes each passage, the raw documents first.
        reject: Takes each rejected text.
        processes: How many processes check the candidates, which changes no result; None for all
            cores, or this one if there are few candidates.
    """
    corpus = _Corpus(documents, config, keep, reject)
    with Progress("corpus", None, "texts") as progress:
        checked = corpus.checked(candidates, processes)
        for number, (candidate, found) in enumerate(checked, start=1):
            corpus.take(candidate, found)
            progress.update(number, facts={"rejected": f"{corpus.totals.rejected:,}"})
    return corpus.totals


class CorpusTotals:
    """The totals of passages and rejected texts."""

    def __init__(self, documents: int) -> None:
        self.by_recipe: dict[str, dict[str, int]] = {}
        self._documents = documents
        self._reasons: Counter[str] = Counter()
        self._reasons_by_recipe: dict[str, Counter[str]] = defaultdict(Counter)
        self._examples: dict[str, list[tuple[str, RejectedText]]] = defaultdict(list)
        self._trimmed = self._phrases_removed = 0

    def add(self, passage: Passage, checked: Checked) -> None:
        """Count a passage."""
        total = self.by_recipe.setdefault(passage.recipe, {"passages": 0, "words": 0})
        total["passages"] += 1
        total["words"] += passage.words
        self._trimmed += checked.is_trimmed
        self._phrases_removed += checked.lost_phrases

    def add_rejected(self, row: RejectedText) -> None:
        """Count a rejected text."""
        self._reasons[row.reason] += 1
        self._reasons_by_recipe[row.recipe][row.reason] += 1
        examples = self._examples[row.reason]
        examples.append((stable_hash(row.call_id), row))
        examples.sort(key=itemgetter(0))
        del examples[EXAMPLES:]

    @property
    def rejected(self) -> int:
        """The number of rejected texts."""
        return self._reasons.total()

    @property
    def counts(self) -> dict[str, int]:
        """Return the totals: candidates (raw texts included) = passages + rejected."""
        passages = sum(each["passages"] for each in self.by_recipe.values())
        rejected = self._reasons.total()
        return {
            "candidates": passages + rejected,
            "passages": passages,
            "rejected": rejected,
            "trimmed": self._trimmed,
            "phrases_removed": self._phrases_removed,
            "documents": self._documents,
            "words": sum(each["words"] for each in self.by_recipe.values()),
        }

    @property
    def reasons(self) -> dict[str, int]:
        """Return the number of rejected texts by reason, the commonest first."""
        return dict(self._reasons.most_common())

    @property
    def reasons_by_recipe(self) -> dict[str, dict[str, int]]:
        """Return the reasons for rejected texts, by recipe."""
        counted = self._reasons_by_recipe.items()
        return {recipe: dict(reasons.most_common()) for recipe, reasons in counted}

    @property
    def examples(self) -> dict[str, list[dict[str, str]]]:
        """Return a few rejected texts per reason, drawn by a hash of their call ids."""
        return {
            reason: [
                {
                    "call_id": row.call_id,
                    "document_id": row.document_id,
                    "recipe": row.recipe,
                    "excerpt": _excerpt(row.text),
                }
                for _, row in self._examples[reason]
            ]
            for reason in self.reasons
        }


class _Corpus:
    """What depends on the passages so far: duplicates, ranks, ids.

    The raw texts of the documents are passages without any filter.
    """

    def __init__(
        self,
        documents: Sequence[Document],
        config: CorpusConfig,
        keep: Callable[[Passage], None],
        reject: Callable[[RejectedText], None],
    ) -> None:
        raw = _raw_documents(documents)
        self.totals = CorpusTotals(len(raw))
        self._config, self._keep_row, self._reject_row = config, keep, reject
        self._whole_of = {document.id: document.whole_id for document in documents}
        self._whole_of |= {document.whole_id: document.whole_id for document in documents}
        texts: defaultdict[str, tuple[str, ...]] = defaultdict(tuple)
        for document in raw:
            texts[document.whole_id] += (document.title, document.own_text)
        self._texts = dict(texts)
        self._ranks: Counter[tuple[str, str]] = Counter()
        self._seen: set[int] = set()
        self._index = NearDuplicates(config.near_duplicates or 1.0)
        self._ids: set[int] = set()
        for document in raw:
            checked = kept(document.own_text, config)
            self._is_new(checked, document.whole_id)
            self._keep(f"{RAW_RECIPE}:{document.id}", checked, document.whole_id)

    def checked(
        self, candidates: Iterable[Candidate], processes: int | None
    ) -> Iterator[tuple[Candidate, Checked]]:
        """Yield the candidates in order, checked by as many processes."""
        remaining = chunks(candidates, BATCH)
        first = list(itertools.islice(remaining, FEW_BATCHES))
        if processes is None:
            processes = usable_cores() if len(first) == FEW_BATCHES else 1
        sent: deque[Sequence[Candidate]] = deque()

        def batches() -> Iterator[Batch]:
            for some in itertools.chain(first, remaining):
                sent.append(some)
                yield self._batch(some)

        for results in ordered_map(partial(check_batch, self._config), batches(), processes):
            yield from zip(sent.popleft(), results, strict=True)

    def take(self, candidate: Candidate, checked: Checked) -> None:
        """Keep a candidate as a passage, or reject it."""
        whole_id, reason = self._whole_of.get(candidate.document_id), checked.reason
        if reason is None:
            assert whole_id is not None
            if self._text_key(whole_id, checked) in self._seen:
                reason = "duplicate"
            elif not self._is_new(checked, whole_id):
                reason = "near-duplicate"
            else:
                self._keep(candidate.call_id, checked, whole_id, candidate)
        if reason is not None:
            owner, recipe = whole_id or candidate.document_id, candidate.recipe
            row = RejectedText(candidate.call_id, owner, recipe, reason, candidate.text)
            self.totals.add_rejected(row)
            self._reject_row(row)

    def _is_new(self, checked: Checked, whole_id: str) -> bool:
        """Add a text to the index of near-duplicates; return whether it has no near-duplicate."""
        if checked.sketch is None:
            return True
        within_document = self._config.near_duplicates_in == "document"
        return self._index.add(checked.sketch, _hashed(whole_id) if within_document else 0)

    def _batch(self, candidates: Sequence[Candidate]) -> Batch:
        whole_ids = [self._whole_of.get(each.document_id) for each in candidates]
        texts = {each: self._texts[each] for each in whole_ids if each is not None}
        return Batch(candidates, whole_ids, texts)

    def _keep(
        self, passage_id: str, checked: Checked, whole_id: str, candidate: Candidate | None = None
    ) -> None:
        recipe = candidate.recipe if candidate else RAW_RECIPE
        call_id, subset = (candidate.call_id, candidate.subset) if candidate else (None, ())
        rank = self._ranks[whole_id, recipe]
        self._ranks[whole_id, recipe] += 1
        self._seen.add(self._text_key(whole_id, checked))
        # Documents with equal texts share their calls: later ones add their own id.
        if _hashed(passage_id) in self._ids:
            passage_id += f"{OF_DOCUMENT}{candidate.document_id if candidate else whole_id}"
        while _hashed(passage_id) in self._ids:
            passage_id += "+"
        self._ids.add(_hashed(passage_id))
        text, words = checked.text, checked.words
        row = Passage(passage_id, text, whole_id, call_id, rank, recipe, subset, words)
        self.totals.add(row, checked)
        self._keep_row(row)

    @staticmethod
    def _text_key(whole_id: str, checked: Checked) -> int:
        return _hashed(whole_id) ^ int.from_bytes(checked.key)


def _excerpt(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= EXCERPT_CHARACTERS else f"{line[:EXCERPT_CHARACTERS]} ..."


def _hashed(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=KEY_BYTES).digest())


def _raw_documents(documents: Sequence[Document]) -> list[Document]:
    """Return the documents to train on as they are: wholes, and parts whose whole is not there."""
    ids = {document.id for document in documents}
    return [
        document
        for document in documents
        if document.whole_id == document.id or document.whole_id not in ids
    ]
