"""The documents that questions are written about: parts, their wholes, and near ones."""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from steep.core.words import words_of
from steep.documents.document import BETWEEN_PARTS, Document
from steep.documents.names import proper_names
from steep.documents.pieces import sentence_starts
from steep.documents.split import whole_documents
from steep.evaluation.writing.candidates import QuestionCandidate, SupportingSpan
from steep.evaluation.writing.spans import locate
from steep.retrieval.chunks import Chunk, cut_documents, heading_of
from steep.retrieval.index import BM25Index

CHUNK_CHARACTERS = 1500  # of other documents, shown to find ambiguous questions
NEAR_CHARACTERS = 2000  # of a document, to find near ones
NAMES = 30  # of near documents, offered as wrong options
NEAR_DOCUMENTS = 3
MOST_RELATED = 200  # parts that are compared, of its own document included
# Of the best BM25 score for the names of a part: on 91 passages of 24 articles (SQuAD), the nearest
# of another document has it for 62, and is of the same article for 58 of them.
RELATED = 0.22  # times the weight of a word that a second text has, 0.88 there
CLOSE = 0.4  # of the score of the own document for a question
NAME_CHARACTERS = 40  # before a name, to find what joins it to another one
_JOINS = "(?:and|of|the|a|for|in|&|de|von|van)"
_JOINED_BEFORE = re.compile(rf"[A-Z\u00c0-\u00de][\w'-]*(?: {_JOINS})+ $")
_WITHIN_SENTENCE = re.compile(r"[^\W\d_A-Z\u00c0-\u00de],? $")  # not its first word
_CAPITALIZED = re.compile(r"(?<=\s)\W*[A-Z\u00c0-\u00de]\w*")
_JOINED_AFTER = re.compile(rf"(?: {_JOINS})+ [A-Z\u00c0-\u00de]")


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

    def span_of(self, quote: str, part_id: str) -> SupportingSpan | None:
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
        return SupportingSpan(part.whole_id, start, text)

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

    def close_chunks(
        self, candidates: Sequence[QuestionCandidate], count: int
    ) -> list[list[Chunk]]:
        """Return, for each question, the best chunks of related documents, one per document.

        Left out are chunks that have much less of the words of the question than its own documents
        have, and documents that lack a name in it, such as the title: they cannot answer it.
        """
        found = self._chunk_index.search([each.question for each in candidates], len(self.chunks))
        others = []
        for candidate, hits in zip(candidates, found, strict=True):
            related = {each.whole_id for id_ in candidate.part_ids for each in self._related[id_]}
            related -= {*candidate.document_ids}
            places = [(self.chunks[hit.place], hit.score) for hit in hits]
            own = [score for each, score in places if each.document_id in candidate.document_ids]
            names = capitalized_words(candidate.question)
            by_document: dict[str, Chunk] = {}
            for chunk, score in places:
                if (
                    chunk.document_id in related
                    and score >= CLOSE * max(own, default=0.0)
                    and names <= self._words_of(chunk.document_id)
                ):
                    by_document.setdefault(chunk.document_id, chunk)
            others.append(list(by_document.values())[:count])
        return others

    def _words_of(self, document_id: str) -> frozenset[str]:
        whole = self.wholes[document_id]
        return _folded_words(f"{heading_of(whole)} {whole.text}")

    def whole_sentences(self, chunk: Chunk) -> str:
        """Return a chunk under its heading, with the whole of its first and last sentence."""
        text = self.wholes[chunk.document_id].text
        starts = _sentence_bounds(text)
        start = starts[max(0, bisect_right(starts, chunk.start) - 1)]
        end = starts[min(bisect_left(starts, chunk.end), len(starts) - 1)]
        longest = 2 * CHUNK_CHARACTERS  # a list or a table without sentences
        if end - start > longest:
            start, end = chunk.start, chunk.end
        return f"{chunk.heading}\n\n{text[start:end].strip()}"

    @cached_property
    def _related(self) -> Mapping[str, Sequence[Document]]:
        """The related parts of other documents, by part, the nearest first.

        Related are documents of the same title, and those that share enough names; rare names
        count more. Where a text has no names, its words count.
        """
        asked = []
        for part in self.parts:
            beginning = part.text[:NEAR_CHARACTERS]
            asked.append(f"{part.title} {' '.join(proper_names(beginning)) or beginning}")
        found = self._part_index.search(asked, MOST_RELATED)
        least_share = RELATED * _weight_of_shared(len(self.parts))
        related = {}
        for part, hits in zip(self.parts, found, strict=True):
            least = least_share * hits[0].score if hits else 0.0
            near = [(self.parts[hit.place], hit.score) for hit in hits]
            related[part.id] = [
                each
                for each, score in near
                if each.whole_id != part.whole_id and (score >= least or each.title == part.title)
            ]
        return related

    def near(self, part: Document) -> Sequence[Document]:
        """Return the nearest related parts of other documents; none if no document is related."""
        return self._related[part.id][:NEAR_DOCUMENTS]

    @cached_property
    def without_related(self) -> Sequence[str]:
        """The ids of the documents to which no other one is related."""
        related = {each.whole_id for each in self.parts if self._related[each.id]}
        return [each for each in self.wholes if each not in related]

    def names_near(self, part: Document) -> list[str]:
        """Return whole names of related documents that a part does not have, for wrong options."""
        names = (name for each in self.near(part) for name in _whole_names(each.text))
        return [name for name in dict.fromkeys(names) if name not in part.text][:NAMES]


def _weight_of_shared(texts: int) -> float:
    """Return the BM25 weight of a word in two of so many texts, relative to a word in one."""
    two, one = (math.log1p((texts - count + 0.5) / (count + 0.5)) for count in (2, 1))
    return max(0.0, two / one)


@lru_cache(maxsize=64)
def _folded_words(text: str) -> frozenset[str]:
    return frozenset(words_of(text))


def capitalized_words(question: str) -> frozenset[str]:
    """Return the capitalized words of a question after its first one, folded."""
    return frozenset(word for each in _CAPITALIZED.findall(question) for word in words_of(each))


@lru_cache(maxsize=64)
def _sentence_bounds(text: str) -> Sequence[int]:
    """Return where the sentences of a text begin, and where the last one ends."""
    return [0, *sentence_starts(text), len(text)]


def _whole_names(text: str) -> Iterator[str]:
    """Yield names of several words, but no pieces of a longer name ("Victoria and Albert ...")."""
    for name in proper_names(text):
        if " " in name and name[0].isupper():
            places = [match.span() for match in re.finditer(rf"\b{re.escape(name)}\b", text)]
            if any(
                _WITHIN_SENTENCE.search(text, max(0, start - 3), start)
                and not _JOINED_BEFORE.search(text, max(0, start - NAME_CHARACTERS), start)
                and not _JOINED_AFTER.match(text, end)
                for start, end in places
            ):
                yield name
