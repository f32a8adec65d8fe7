"""The document index of the open book: chunks, and the ranking of chunks for each question."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steep.core.artifacts import Artifact, Identity, build
from steep.core.config import identity_fields
from steep.core.errors import UserError
from steep.core.files import write_rows
from steep.documents.split import whole_documents
from steep.evaluation.callers import Callers
from steep.evaluation.eval_models import EvalModel
from steep.evaluation.prompts import about, named_text
from steep.evaluation.question_set import QuestionSet
from steep.evaluation.questions import Question
from steep.evaluation.setup import EvaluationSetup
from steep.retrieval.cache import RetrievalCache
from steep.retrieval.chunks import Chunking, cut_documents
from steep.retrieval.config import RetrievalConfig
from steep.retrieval.embed import Embedder, open_embedder
from steep.retrieval.index import Hit
from steep.retrieval.measures import Asked, RetrievalRow, measure
from steep.retrieval.rerank import LikelihoodReranker, Reranker, open_reranker
from steep.retrieval.retrieve import Retriever, top_chunks

log = logging.getLogger("steep")

if TYPE_CHECKING:
    from steep.ledger.caller import Sends

VERSION = 4
STAGE = "retrieve"
ROWS_NAME = "rows.parquet"
CACHE_NAME = "retrieval.db"


def query(question: Question, question_set: QuestionSet) -> str:
    """Return the search text: the question with its document's name, and its options (appendix F).

    The options of a short-answer question are answers to other questions; they are left out.
    """
    options = () if question.answers else question.options
    return "\n".join([about(question_set.by_id[question.document_id], question.question), *options])


@dataclass
class DocumentIndex:
    """The chunks of one run's documents and their rankings; used in a `with` statement."""

    setup: EvaluationSetup
    question_set: QuestionSet
    callers: Callers
    _chunkings: dict[int, Chunking] = field(default_factory=dict)
    _retrievers: dict[tuple[int, str], Retriever] = field(default_factory=dict)

    @property
    def cache_path(self) -> Path | None:
        """The file of rankings; None forgets them when the index is closed."""
        return self.setup.project.store / CACHE_NAME

    def __enter__(self) -> DocumentIndex:
        self._cache = RetrievalCache(self.cache_path).__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._cache.__exit__(*error)

    def retrieve(self, chunk_characters: int, eval_model: EvalModel) -> Artifact:
        """Build the artifact with the ranks of the right chunks for each question.

        All models share it unless the reranker is the model itself.
        """
        settings, documents = self.setup.open_book, self.question_set.documents
        fields = identity_fields("open_book", settings, of=RetrievalConfig)
        fields |= self.question_set.fields | {"open_book.chunk_characters": chunk_characters}
        inputs = {"documents": documents}

        def make(directory: Path) -> dict[str, Any]:
            questions = self.question_set.everything
            hits = self.rank(chunk_characters, eval_model, questions)
            asked = [Asked(each.id, each.document_id, each.answers) for each in questions]
            chunking = self.chunking(chunk_characters)
            rows = measure(asked, hits, chunking.chunks)
            write_rows(directory / ROWS_NAME, rows, RetrievalRow)
            return {
                "chunk_characters": chunk_characters,
                "chunks": len(chunking.chunks),
                "blank": list(chunking.blank),
                "questions": len(questions),
            }

        if settings.reranker == "likelihood":
            return eval_model.build(STAGE, VERSION, fields, make, inputs, one_of_many=True)
        identity = Identity(STAGE, VERSION, fields, inputs)
        return build(self.setup.project, identity, make, one_of_many=True)

    def contexts(
        self,
        chunk_characters: int,
        eval_model: EvalModel,
        questions: Sequence[Question],
        shown: int,
        order: Any,
    ) -> list[list[str]]:
        """Return the texts that are shown before each question."""
        chunks = self.chunking(chunk_characters).chunks
        rankings = self.rank(chunk_characters, eval_model, questions)
        return [
            [each.shown for each in top_chunks(hits, chunks, shown, order)] for hits in rankings
        ]

    def whole_documents(self, questions: Sequence[Question]) -> list[list[str]]:
        """Return the whole document of each question: an upper bound for retrieval."""
        wholes = whole_documents(self.question_set.texts)
        named = {key: named_text(document, document.text) for key, document in wholes.items()}
        return [[named[question.document_id]] for question in questions]

    def rank(
        self, chunk_characters: int, eval_model: EvalModel, questions: Sequence[Question]
    ) -> list[list[Hit]]:
        """Return the ranking of each question; earlier rankings are read from disk."""
        retriever = self._retriever(chunk_characters, eval_model)
        return retriever.rank([query(each, self.question_set) for each in questions])

    def _retriever(self, chunk_characters: int, eval_model: EvalModel) -> Retriever:
        settings = self.setup.open_book
        own = eval_model.name if settings.reranker == "likelihood" else ""
        if (chunk_characters, own) not in self._retrievers:
            self._retrievers[chunk_characters, own] = Retriever(
                self.chunking(chunk_characters).chunks,
                settings,
                self._cache,
                self._embedder if settings.search != "bm25" else None,
                _likelihood(eval_model) if own else self._reranker,
            )
        return self._retrievers[chunk_characters, own]

    def chunking(self, size: int) -> Chunking:
        """Return the chunks of all documents, of at most `size` characters."""
        if size not in self._chunkings:
            self._chunkings[size] = found = cut_documents(self.question_set.texts, size)
            for blank in found.blank:
                log.warning("open book: the document '%s' has no text", blank)
        return self._chunkings[size]

    @cached_property
    def _embedder(self) -> Embedder:
        settings, root = self.setup.open_book, self.setup.project.root
        return open_embedder(settings, root, self._caller("embedder"))

    @cached_property
    def _reranker(self) -> Reranker | None:
        settings, root = self.setup.open_book, self.setup.project.root
        return open_reranker(settings, root, self._caller("reranker"))

    def _caller(self, part: str) -> Sends | None:
        if getattr(self.setup.open_book, part) != "endpoint":
            return None
        return self.callers.open(f"open_book.{part}_server")


def _likelihood(eval_model: EvalModel) -> Reranker:
    """Return the model under evaluation as a reranker."""
    if not eval_model.gives_likelihoods:
        raise UserError(
            f"'{eval_model.name}' cannot rerank by likelihood: its server only has a chat "
            "endpoint.",
            where="open_book.reranker",
            expected="none, cross-encoder or endpoint",
        )

    def likelihood(prompts: Sequence[str], asked: Sequence[str]) -> list[float]:
        scores = eval_model.engine.logprobs(prompts, [[text] for text in asked])
        return [each.sum_logprob[0] / each.tokens[0] for each in scores]

    where = (
        eval_model.trained.path.name
        if eval_model.trained
        else str(sorted(eval_model.fields.items()))
    )
    return LikelihoodReranker(where, likelihood)
