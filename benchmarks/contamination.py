"""Questions in generated texts, by equal words and by paraphrase, with time and peak memory.

    python benchmarks/contamination.py FOLDER

FOLDER holds documents.jsonl (id, title, text), questions.jsonl (id, document_id, question, answers)
and generations.jsonl.gz (document_id, recipe, model, sample, text).
"""

from __future__ import annotations

import gzip
import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from steep.core.calls import RAW_RECIPE
from steep.evaluation.contamination.paraphrases import (
    find_paraphrases,
    question_sentences,
    sample_questions,
)
from steep.evaluation.contamination.phrases import LENGTHS, PhraseIndex
from steep.evaluation.contamination.scan import measure_name, scan_texts
from steep.evaluation.questions import Question
from steep.retrieval.embed import StaticEmbedder

MOST_SENTENCES = 50_000


def rows_of(path: Path) -> Iterator[Any]:
    """Yield the rows of a JSONL file, which may be compressed."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        yield from map(json.loads, file)


def peak_mib() -> int:
    """Return the peak memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def texts_of(folder: Path, key: str, value: str | None) -> Iterator[tuple[str, str, str]]:
    """Yield id, recipe and text of the generations, or of those of one model or recipe."""
    for number, row in enumerate(rows_of(folder / "generations.jsonl.gz")):
        if value is None or row[key] == value:
            yield str(number), row["recipe"], row["text"]


def main(folder: Path) -> None:
    """Print contaminated questions, and others that are only quoted, by model and recipe."""
    source = [f"{row['title']}\n{row['text']}" for row in rows_of(folder / "documents.jsonl")]
    questions = [
        Question(r["id"], r["document_id"], "", r["question"], (), (), tuple(r["answers"]))
        for r in rows_of(folder / "questions.jsonl")
    ]
    index = PhraseIndex(questions, source)
    print(len(questions), "questions; in the source:", {n: len(q) for n, q in index.quoted.items()})
    groups: set[tuple[str, str]] = set()
    for row in rows_of(folder / "generations.jsonl.gz"):
        groups |= {("model", row["model"]), ("recipe", row["recipe"])}
    for key, value in [("", None), *sorted(groups)]:
        began, before = time.perf_counter(), peak_mib()
        scan = scan_texts(questions, index, texts_of(folder, key, value))
        took = time.perf_counter() - began
        counts = []
        for length in LENGTHS:
            own = [
                row
                for row in scan.overlaps
                if row.measure == measure_name(length) and row.recipe != RAW_RECIPE
            ]
            contaminated = {row.question_id for row in own if row.passages}
            quoted = {row.question_id for row in own} - contaminated
            counts.append(f"{length}: {len(contaminated)} + {len(quoted)} quoted")
        grew = peak_mib() - before
        print(value or "all", scan.passages, *counts, f"{took:.1f} s, {grew} MiB more", sep=" | ")
    sample = sample_questions(texts_of(folder, "", None), MOST_SENTENCES)
    asked = [each for text in source for each in question_sentences(text)]
    for similarity in (0.85, 0.9, 0.95):
        began = time.perf_counter()
        rows = find_paraphrases(StaticEmbedder(), questions, sample.questions, asked, similarity)
        found = len({row.question_id for row in rows if row.passages})
        took = time.perf_counter() - began
        print(f"cosine {similarity}: {found} of {len(sample.questions)} sentences, {took:.1f} s")
    print(peak_mib(), "MiB at the peak")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
