"""Does the reading model rerank better than the search, and what does it cost?

    pip install wordllama==0.4.0.post1
    python -m benchmarks.retrieval.likelihood_rerank documents.jsonl questions.jsonl [--first 150]

Chunks of 256 characters, found by words and vectors; the embedded model (fp32) scores the first
eight of each question by how likely the question is after them. The first two rows are the same
rankings before and after.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.retrieval.recall import Exam, read_question_set, show
from steep.evaluation.likelihood import score_questions
from steep.llm.model_names import embedded_directory
from steep.retrieval.cache import RetrievalCache
from steep.retrieval.chunks import cut_documents
from steep.retrieval.config import RetrievalConfig
from steep.retrieval.embed import StaticEmbedder
from steep.retrieval.measures import Asked, measure
from steep.retrieval.rerank import LikelihoodReranker, Reranker
from steep.retrieval.retrieve import Retriever

CHUNK_SIZE, DEPTH = 256, 8
BATCH_TOKENS = 4096


def main() -> None:
    """Rank with and without, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("documents", type=Path)
    parser.add_argument("questions", type=Path)
    parser.add_argument("--first", type=int, default=150, help="only so many questions")
    options = parser.parse_args()
    whole = read_question_set(options.documents, options.questions, named=False, with_options=False)
    question_set = Exam(
        whole.documents, whole.questions[: options.first], whole.asked[: options.first]
    )
    run(question_set, None)
    run(question_set, reading_model())


def reading_model() -> Reranker:
    """The embedded model as a judge."""
    model = AutoModelForCausalLM.from_pretrained(embedded_directory()).float().eval()
    tokenizer = AutoTokenizer.from_pretrained(embedded_directory())

    def likelihood(prompts: Sequence[str], continuations: Sequence[str]) -> list[float]:
        options = [[each] for each in continuations]
        scores = score_questions(model, tokenizer, prompts, options, BATCH_TOKENS)
        return [each.sum_logprob[0] / each.tokens[0] for each in scores]

    return LikelihoodReranker("SmolLM2-135M-Instruct", likelihood)


def run(question_set: Exam, judge: Reranker | None) -> None:
    """Rank all questions, and print what was found and how long it took."""
    chunks = cut_documents(question_set.documents, CHUNK_SIZE).chunks
    settings = RetrievalConfig(search="fused", reranked=DEPTH)
    with RetrievalCache() as cache:
        retriever = Retriever(chunks, settings, cache, StaticEmbedder(), judge)
        start = time.perf_counter()
        rankings = retriever.rank(question_set.asked)
        seconds = time.perf_counter() - start
    asked = [Asked(q.id, q.document_id, q.answers) for q in question_set.questions]
    rows = measure(asked, rankings, chunks)
    print(f"{judge.name if judge else 'no reranker'}: {len(rows)} questions in {seconds:.1f} s")
    show("document", rows, [row.document for row in rows])
    show("answer", rows, [row.answer for row in rows if row.answer is not None])


if __name__ == "__main__":
    main()
