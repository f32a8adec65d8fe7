"""How much is found: by words, by vectors, by both; of documents, and of chunks with the answer.

    pip install wordllama==0.4.0.post1
    python benchmarks/retrieval/recall.py documents.jsonl questions.jsonl --sizes 1024 256
    python benchmarks/retrieval/recall.py quality.dev quality.dev --sizes 1024 --named --options
    python benchmarks/retrieval/recall.py ... --models minilm/   # of sentence-transformers, on disk

A question stands alone, or with `--named` under title, author and year, as the paper asks it; with
`--options` its choices follow. Intervals are 95%, clustered by document. "index" is the time to
cut, embed and index the corpus, "questions" that for all rankings, both without any cache.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from steep.documents.document import Document
from steep.documents.reading import read_documents
from steep.evaluation.prompts import about
from steep.evaluation.questions import Question, read_questions, read_short_answers
from steep.evaluation.results import Interval
from steep.evaluation.statistics import mean_interval
from steep.retrieval.cache import RetrievalCache
from steep.retrieval.chunks import cut_documents
from steep.retrieval.config import RetrievalConfig
from steep.retrieval.embed import Embedder, open_embedder
from steep.retrieval.measures import Asked, RetrievalQuality, RetrievalRow, measure
from steep.retrieval.retrieve import Retriever

RANKS = (1, 5, 8)


class Exam(NamedTuple):
    """Documents, questions, and the questions as they are searched for."""

    documents: Sequence[Document]
    questions: Sequence[Question]
    asked: Sequence[str]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("documents", type=Path)
    parser.add_argument("questions", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024])
    parser.add_argument("--named", action="store_true")
    parser.add_argument("--options", action="store_true")
    parser.add_argument("--models", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    question_set = read_question_set(
        options.documents, options.questions, options.named, options.options
    )
    embedders = [open_embedder(RetrievalConfig())]
    for path in options.models:
        embedders.append(
            open_embedder(
                RetrievalConfig(embedder="sentence-transformers", embedder_model=str(path))
            )
        )
    for size in options.sizes:
        chunks = cut_documents(question_set.documents, size).chunks
        counts = f"{len(question_set.questions)} questions, {len(question_set.documents)} documents"
        print(f"\nchunk size {size}: {len(chunks)} chunks, {counts}")
        run(question_set, size, RetrievalConfig(), None)
        for embedder in embedders:
            for search in ("embeddings", "fused"):
                run(question_set, size, RetrievalConfig(search=search), embedder)


def read_question_set(documents: Path, questions: Path, named: bool, with_options: bool) -> Exam:
    """Read both, and phrase what is searched for."""
    known = read_documents(documents).documents
    by_id = {document.whole_id: document for document in known}
    read = read_questions if with_options else read_short_answers
    found = read(questions, known).questions
    texts = []
    for each in found:
        text = about(by_id[each.document_id], each.question) if named else each.question
        texts.append("\n".join([text, *each.options]))
    return Exam(known, found, texts)


def run(
    question_set: Exam, size: int, settings: RetrievalConfig, embedder: Embedder | None
) -> None:
    """Rank all questions with an empty cache, and print a row for each measure."""
    with RetrievalCache() as cache:
        start = time.perf_counter()
        chunks = cut_documents(question_set.documents, size).chunks
        retriever = Retriever(chunks, settings, cache, embedder)
        retriever.rank(["What is it?"])
        indexed = time.perf_counter()
        rankings = retriever.rank(question_set.asked)
        ranked = time.perf_counter()
    asked = [Asked(q.id, q.document_id, q.answers) for q in question_set.questions]
    rows = measure(asked, rankings, chunks)
    name = f"{settings.search} {embedder.name[:20] if embedder else ''}".strip()
    print(f"{name}: index {indexed - start:.2f} s, questions {ranked - indexed:.2f} s")
    show("document", rows, [row.document for row in rows])
    bearing = [row.answer for row in rows if row.answer is not None]
    if bearing:
        show("answer", rows, bearing)
        print(f"  in no chunk: {sum(not each.relevant for each in bearing)} answers")


def show(what: str, rows: Sequence[RetrievalRow], found: Sequence[RetrievalQuality]) -> None:
    """Print recall, MRR and nDCG@8."""
    clusters = [row.document_id for row in rows]
    values = {f"@{k}": [each.recall(k) for each in found] for k in RANKS}
    values["MRR"] = [each.reciprocal_rank for each in found]
    values["nDCG@8"] = [each.ndcg(8) for each in found]
    shown = (f"{key} {percent(mean_interval(v, clusters))}" for key, v in values.items())
    print(f"  {what:8} " + "  ".join(shown))


def percent(interval: Interval) -> str:
    """A mean with its interval."""
    mean, low, high = (100 * value for value in (interval.mean, interval.low, interval.high))
    return f"{mean:.1f} ({low:.1f}-{high:.1f})"


if __name__ == "__main__":
    main()
