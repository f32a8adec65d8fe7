"""Splitter, BM25, default embedder and FAISS search, each compared with what others wrote.

    pip install langchain-text-splitters==1.1.3 bm25s==0.3.16 wordllama==0.4.0.post1 faiss-cpu
    python benchmarks/retrieval/agreement.py documents.jsonl questions.jsonl texts.jsonl...

- Splitter: the given texts (`text` in each line) whole and cut at random places, and generated ones
  full of odd separators, at chunk sizes 256, 512 and 1024 (and 2 to 40 for the generated).
- BM25: every score of every question, against bm25s' Lucene variant on the same words.
- Embeddings: every chunk and question, against the package's own `embed`.
- FAISS: the first 128 of every question, against the search without it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from steep.core.words import words_of
from steep.documents.reading import read_documents
from steep.evaluation.questions import read_short_answers
from steep.retrieval.cache import RetrievalCache
from steep.retrieval.chunks import cut_documents, split_text
from steep.retrieval.embed import StaticEmbedder, embed_texts
from steep.retrieval.index import BM25Index, VectorIndex

SIZES = (256, 512, 1024)
EXCERPTS = 300
GENERATED = 2_000
ODD = ["a", "bee", "\n\n", "\n", " ", "\t", "\u2028", "a-very-long-word", "ß", "😀", "\r\n", "   "]


def main() -> None:
    """Compare all four, and print how many cases agree."""
    parser = argparse.ArgumentParser()
    parser.add_argument("documents", type=Path)
    parser.add_argument("questions", type=Path)
    parser.add_argument("texts", type=Path, nargs="*")
    options = parser.parse_args()
    known = read_documents(options.documents).documents
    questions = [q.question for q in read_short_answers(options.questions, known).questions]
    chunks = [chunk.shown for chunk in cut_documents(known, 256).chunks]
    texts = [document.text for document in known] + [t for p in options.texts for t in read(p)]
    compare_splitter(texts)
    compare_bm25(chunks, questions)
    compare_embedder([*chunks, *questions])
    compare_faiss(chunks, questions)


def read(path: Path) -> list[str]:
    """The texts of a JSONL file."""
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line)["text"] for line in lines if line]


def compare_splitter(texts: Sequence[str]) -> None:
    """Against LangChain's RecursiveCharacterTextSplitter."""
    splitters = importlib.import_module("langchain_text_splitters")
    counts = {"real": [0, 0], "generated": [0, 0]}
    chunks = 0
    for kind, text, size in cases(texts):
        reference = splitters.RecursiveCharacterTextSplitter(chunk_size=size, chunk_overlap=0)
        expected = reference.split_text(text)
        found = [text[start:end] for start, end in split_text(text, size)]
        counts[kind][0] += 1
        counts[kind][1] += found == expected
        chunks += len(expected)
        if found != expected:
            print(f"differs at size {size}: {text[:80]!r}")
    for kind, (count, same) in counts.items():
        print(f"splitter, {kind} texts: {same} of {count} equal")
    print(f"splitter: {chunks:,} chunks compared")


def cases(texts: Sequence[str]) -> Iterator[tuple[str, str, int]]:
    """Kind, text and chunk size."""
    rng = random.Random(0)
    excerpts = []
    for text in rng.choices(texts, k=EXCERPTS):
        start, end = sorted(rng.sample(range(len(text) + 1), 2))
        excerpts.append(text[start:end])
    yield from (("real", text, size) for text in [*texts, *excerpts] for size in SIZES)
    for _ in range(GENERATED):
        text = "".join(rng.choices(ODD, k=rng.randint(0, 200)))
        yield "generated", text, rng.randint(2, 40)


def compare_bm25(texts: Sequence[str], questions: Sequence[str]) -> None:
    """Against bm25s, on our words."""
    bm25s = importlib.import_module("bm25s")
    reference = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
    reference.index([words_of(text) for text in texts], show_progress=False)
    known = set(reference.vocab_dict)
    furthest = 0.0
    found = BM25Index(texts).search(questions, len(texts))
    for question, hits in zip(questions, found, strict=True):
        expected = reference.get_scores([word for word in words_of(question) if word in known])
        scores = np.zeros(len(texts))
        for place, score in hits:
            scores[place] = score
        furthest = max(furthest, float(np.abs(scores - expected).max()))
    count = len(texts) * len(questions)
    print(f"bm25: {count:,} scores, largest difference {furthest:.2g} (bm25s: single precision)")


def compare_embedder(texts: Sequence[str]) -> None:
    """Against wordllama's own code."""
    wordllama = importlib.import_module("wordllama")
    folder = Path(str(wordllama.__file__)).parent
    reference = wordllama.WordLlama.load(cache_dir=folder, disable_download=True)
    expected = reference.embed(list(texts), norm=True)
    with RetrievalCache() as cache:
        found = embed_texts(StaticEmbedder(), texts, cache)
    print(
        f"wordllama: {len(texts)} vectors, largest difference {np.abs(found - expected).max():.2g}"
    )


def compare_faiss(texts: Sequence[str], questions: Sequence[str]) -> None:
    """Against FAISS's flat index."""
    with RetrievalCache() as cache:
        embedder = StaticEmbedder()
        vectors, asked = (embed_texts(embedder, each, cache) for each in (texts, questions))
    plain, faiss = (
        list(VectorIndex(vectors, faiss_from).search(asked, 128))
        for faiss_from in (len(vectors) + 1, 1)
    )
    same: Any = sum(a == b for a, b in zip(plain, faiss, strict=True))
    print(f"faiss: {same} of {len(questions)} rankings equal")


if __name__ == "__main__":
    main()
