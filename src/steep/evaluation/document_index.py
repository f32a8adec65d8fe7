"""The open book: chunks of the documents, and what was found in them for each question."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steep.core.artifacts import Artifact, Identity, Project, build
from steep.core.errors import UserError
from steep.documents.split import whole_documents
from steep.evaluation.callers import Callers
from steep.evaluation.eval_models import EvalModel
from steep.evaluation.few_shot import about, named_text
from steep.evaluation.open_book_table import write_retrieval
from steep.evaluation.question_set import QuestionSet
from steep.evaluation.questions import Question
from steep.evaluation.setup import EvaluationSetup
from steep.retrieval.cache import RetrievalCache
from steep.retrieval.chunks import Chunking, cut_documents
from steep.retrieval.embed import Embedder, EmbedderSettings, open_embedder
from steep.retrieval.measures import Asked, measure
from steep.retrieval.rerank import LikelihoodReranker, Reranker
from steep.retrieval.retrieve import RetrievalSettings, Retriever, top_chunks

log = logging.getLogger("steep")

if TYPE_CHECKING:
    from steep.retrieval.hits import Hit

VERSION = 2
STAGE = "retrieve"
ROWS_NAME = "rows.parquet"
CACHE_NAME = "retrieval.db"
# Of the section what decides a ranking; the rest says how it is shown.
RANKING = (
    "search", "found", "reranked", "embedder", "embedder_model", "question_prefix", "chunk_prefix",
    "reranker", "reranker_model",
)  # fmt: skip


def query(question: Question, question_set: QuestionSet) -> str:
    """What is searched for: the question with its document's name, and its options (appendix F).

    The options of a short answer are answers to other questions, which would lead elsewhere.
    """
    options = () if question.answers else question.options
    return "\n".join([about(question_set.by_id[question.document_id], question.question), *options])


@dataclass
class DocumentIndex:
    """The chunks of one run's documents; open it with `with`, since rankings are kept on disk.

    Attributes:
        in_memory: Whether rankings are forgotten when it is closed.
    """

    setup: EvaluationSetup
    question_set: QuestionSet
    callers: Callers
    in_memory: bool = False
    _cut: dict[int, Chunking] = field(default_factory=dict)
    _retrievers: dict[tuple[int, str], Retriever] = field(default_factory=dict)

    def __enter__(self) -> DocumentIndex:
        path = None if self.in_memory else self.setup.project.store / CACHE_NAME
        self._cache = RetrievalCache(path).__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._cache.__exit__(*error)

    def retrieve(self, chunk_characters: int, eval_model: EvalModel) -> Artifact:
        """Where the right chunks stand in each question's ranking; one for all models as a rule."""
        settings = self.setup.open_book
        fields = {f"open_book.{name}": getattr(settings, name) for name in RANKING}
        for part in ("embedder_server", "reranker_server"):
            if (server := getattr(settings, part)) is not None:
                fields |= {f"open_book.{part}": [server.base_url, server.model]}
        fields |= self.question_set.fields | {"open_book.chunk_characters": chunk_characters}
        inputs = {"documents": self.question_set.documents}
        if settings.reranker == "likelihood":
            fields |= eval_model.fields
            inputs |= eval_model.inputs

        def make(directory: Path) -> dict[str, Any]:
            questions = self.question_set.everything
            hits = self.rank(chunk_characters, eval_model, questions)
            asked = [Asked(each.id, each.document_id, each.answers) for each in questions]
            chunking = self._chunking(chunk_characters)
            write_retrieval(directory / ROWS_NAME, measure(asked, hits, chunking.chunks))
            return {
                "chunk_characters": chunk_characters,
                "chunks": len(chunking.chunks),
                "blank": list(chunking.blank),
                "questions": len(questions),
            }

        return build(
            self.setup.project, Identity(STAGE, VERSION, fields, inputs), make, one_of_many=True
        )

    @property
    def is_slow(self) -> bool:
        """Whether a model of this machine would have to read the chunks."""
        settings = self.setup.open_book
        embeds = settings.search != "bm25" and settings.embedder == "sentence-transformers"
        return embeds or settings.reranker == "cross-encoder"

    def first_chunks(self, chunk_characters: int, shown: int) -> list[str]:
        """The texts of the first chunks, whatever is asked."""
        return [each.shown for each in self._chunking(chunk_characters).chunks[:shown]]

    def contexts(
        self,
        chunk_characters: int,
        eval_model: EvalModel,
        questions: Sequence[Question],
        shown: int,
        order: Any,
    ) -> list[list[str]]:
        """The texts that are shown before each question."""
        chunks = self._chunking(chunk_characters).chunks
        rankings = self.rank(chunk_characters, eval_model, questions)
        return [
            [each.shown for each in top_chunks(hits, chunks, shown, order)] for hits in rankings
        ]

    def whole_documents(self, questions: Sequence[Question]) -> list[list[str]]:
        """The document of each question, whole: what the best retrieval could show."""
        wholes = whole_documents(self.question_set.texts)
        named = {key: named_text(document, document.text) for key, document in wholes.items()}
        return [[named[question.document_id]] for question in questions]

    def rank(
        self, chunk_characters: int, eval_model: EvalModel, questions: Sequence[Question]
    ) -> list[list[Hit]]:
        """The ranking of each question; what was ranked before is on disk."""
        retriever = self._retriever(chunk_characters, eval_model)
        return retriever.rank([query(each, self.question_set) for each in questions])

    def _retriever(self, chunk_characters: int, eval_model: EvalModel) -> Retriever:
        settings = self.setup.open_book
        own = eval_model.name if settings.reranker == "likelihood" else ""
        if (chunk_characters, own) not in self._retrievers:
            how = RetrievalSettings(
                settings.search,
                settings.found,
                settings.reranked,
                settings.question_prefix,
                settings.chunk_prefix,
            )
            reranker = _likelihood(eval_model) if own else self._reranker
            chunks = self._chunking(chunk_characters).chunks
            embedder = self._embedder if settings.search != "bm25" else None
            self._retrievers[chunk_characters, own] = Retriever(
                chunks, how, self._cache, embedder, reranker
            )
        return self._retrievers[chunk_characters, own]

    def _chunking(self, size: int) -> Chunking:
        if size not in self._cut:
            self._cut[size] = found = cut_documents(self.question_set.texts, size)
            for blank in found.blank:
                log.warning("open book: the document '%s' has no text to cut", blank)
        return self._cut[size]

    @cached_property
    def _embedder(self) -> Embedder:
        settings = self.setup.open_book
        model, caller = _path_or_name(self.setup.project, settings.embedder_model), None
        if settings.embedder == "endpoint":
            assert settings.embedder_server is not None
            model = settings.embedder_server.model
            caller = self.callers.open("open_book.embedder_server")
        return open_embedder(EmbedderSettings(settings.embedder, model, caller))

    @cached_property
    def _reranker(self) -> Reranker | None:
        settings = self.setup.open_book
        if settings.reranker == "none":
            return None
        if settings.reranker == "cross-encoder":
            from steep.retrieval.local import LocalReranker

            return LocalReranker(Path(_path_or_name(self.setup.project, settings.reranker_model)))
        from steep.retrieval.remote import EndpointReranker

        assert settings.reranker_server is not None
        caller = self.callers.open("open_book.reranker_server")
        return EndpointReranker(caller, settings.reranker_server.model)


def _path_or_name(project: Project, name: str) -> str:
    """A directory, seen from the project, or else the name as it is."""
    path = project.root / name
    return os.fspath(path) if name and path.is_dir() else name


def _likelihood(eval_model: EvalModel) -> Reranker:
    """The reading model as reranker: how likely it finds the question after a chunk."""
    if not eval_model.gives_likelihoods:
        raise UserError(
            f"'{eval_model.name}' cannot rerank by likelihood: its server only chats.",
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
