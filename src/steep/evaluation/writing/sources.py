"""The documents that questions are written about: parts, their wholes, and near ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from steep.documents.document import BETWEEN_PARTS, Document
from steep.documents.names import proper_names
from steep.documents.split import whole_documents
from steep.evaluation.writing.candidates import Candidate, Span
from steep.evaluation.writing.spans import locate
from steep.retrieval.chunks import Chunk, cut_documents
from steep.retrieval.index import BM25Index

CHUNK_CHARACTERS = 1500  # of other documents, shown to find ambiguous questions
NEAR_CHARACTERS = 2000  # of a document, to find near ones
NAMES = 30  # of near documents, offered as wrong options
NEAR_DOCUMENTS = 3


@dataclass(frozen=True)
class Sources:
    """The documents, or parts of them, in order."""

    parts: Sequence[Document]

    @cached_property
    def by_id(self) -> Mapping[str, Document]:
        """The parts by their ids."""
        return {each.id: each for each in self.parts}

    @cached_property
    def wholes(self) -> Mapping[str, Document]:
        """The whole documents by their ids."""
        return whole_documents(self.parts)

    @cached_property
    def _starts(self) -> Mapping[str, int]:
        """Where the own text of each part begins in its whole, as `whole_documents` joins them."""
        ends: dict[str, int] = {}
        starts = {}
        for each in self.parts:
            gap = (
                len(each.metadata.get("gap_before", BETWEEN_PARTS)) if each.whole_id in ends else 0
            )
            starts[each.id] = ends.get(each.whole_id, 0) + gap
            ends[each.whole_id] = starts[each.id] + len(each.own_text)
        return starts

    def span_of(self, quote: str, part_id: str) -> Span | None:
        """Return where a quotation stands in the document of a part; None if it does not."""
        part = self.by_id[part_id]
        whole = self.wholes[part.whole_id].text
        found = locate(quote, part.text)
        if found is None:
            return None
        start = self._starts[part_id] + found.start - part.own_start
        text = part.text[found.start : found.end]
        if found.start < part.own_start:  # in what it repeats of an earlier part
            found = locate(quote, whole)
            if found is None:
                return None
            start, text = found.start, whole[found.start : found.end]
        return Span(part.whole_id, start, text)

    @cached_property
    def chunks(self) -> Sequence[Chunk]:
        """All documents in pieces, to search and show."""
        return cut_documents(self.parts, CHUNK_CHARACTERS).chunks

    @cached_property
    def _chunk_index(self) -> BM25Index:
        return BM25Index([each.shown for each in self.chunks])

    @cached_property
    def _part_index(self) -> BM25Index:
        return BM25Index([f"{each.title} {each.text}" for each in self.parts])

    def other_chunks(self, candidates: Sequence[Candidate], count: int) -> list[list[Chunk]]:
        """Return, for each question, the best chunks of other documents, one per document."""
        found = self._chunk_index.search([each.question for each in candidates], len(self.chunks))
        others = []
        for candidate, hits in zip(candidates, found, strict=True):
            by_document: dict[str, Chunk] = {}
            for hit in hits:
                chunk = self.chunks[hit.place]
                if chunk.document_id not in candidate.document_ids:
                    by_document.setdefault(chunk.document_id, chunk)
                if len(by_document) == count:
                    break
            others.append(list(by_document.values()))
        return others

    def near(self, part: Document) -> list[Document]:
        """Return the nearest parts of other documents, by names where there are any."""
        beginning = part.text[:NEAR_CHARACTERS]
        words = " ".join(proper_names(beginning)) or beginning
        (hits,) = self._part_index.search([f"{part.title} {words}"], len(self.parts))
        found = (self.parts[each.place] for each in hits)
        return [each for each in found if each.whole_id != part.whole_id][:NEAR_DOCUMENTS]

    def names_near(self, part: Document) -> list[str]:
        """Return names of near documents that a part does not have, for wrong options."""
        names = (name for each in self.near(part) for name in proper_names(each.text))
        return [name for name in dict.fromkeys(names) if name not in part.text][:NAMES]
