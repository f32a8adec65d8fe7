"""How long splitting by structure and the list of `steep documents` take.

    python benchmarks/structure.py
    python benchmarks/structure.py --documents 10000 --tokenizer DIR/tokenizer.json

Processor seconds, as ratios to a plain pass over the words of the same texts (`count_words`).
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from steep.core.token_counts import ESTIMATE, token_counter
from steep.core.words import word_spans
from steep.documents.document import Document, Reading
from steep.documents.overview import summary_of
from steep.documents.split import split_document
from steep.documents.split_tokens import TokenSplit, split_by_structure

WORDS = [f"{one}{two}" for one in ("ba", "ke", "li", "mo", "nu") for two in ("ran", "sel", "tor")]
PARAGRAPHS_PER_SECTION = 8


def paragraph(drawn: random.Random, words: int = 75) -> str:
    """Return a paragraph of random words."""
    return " ".join(drawn.choices(WORDS, k=words)).capitalize() + "."


def handbook(characters: int) -> Document:
    """Return a document of sections with paragraphs of some 75 words."""
    drawn, parts, length = random.Random(1), list[str](), 0
    while length < characters:
        heading = [] if len(parts) % PARAGRAPHS_PER_SECTION else [f"## Section {len(parts)}"]
        parts.append("\n\n".join([*heading, paragraph(drawn)]))
        length += len(parts[-1])
    return Document("handbook", "Handbook", "\n\n".join(parts))


def folder(documents: int) -> Reading:
    """Return documents of some 500 words; each twentieth differs from the one before by a word."""
    drawn, found = random.Random(2), list[Document]()
    for number in range(documents):
        text = " ".join(f"{paragraph(drawn)} They had {drawn.random()} of it." for _ in range(6))
        if found and number % 20 == 0:
            text = found[-1].text.replace("They", "We", 1)
        found.append(Document(f"d{number}", f"Document {number}", text, source=f"d{number}.txt"))
    return Reading(tuple(found), (), documents)


def processor_s(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the processor time of some work in seconds, and its result."""
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


def main() -> None:
    """Print all times."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--characters", type=int, default=3_000_000)
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--tokenizer", type=Path)
    arguments = parser.parse_args()
    counters = {"estimate": ESTIMATE}
    if arguments.tokenizer:
        counters["tokenizer"] = token_counter(arguments.tokenizer)
    document = handbook(arguments.characters)
    plain, _ = processor_s(lambda: word_spans(document.text))
    print(f"{len(document.text):,} characters; a pass over the words: {plain:.2f} s")
    took, parts = processor_s(lambda: split_document(document, 1500))
    print(f"split_words 1500: {took / plain:.1f} passes, {len(parts)} parts")
    for name, counter in counters.items():
        for overlap in (0, 100):
            split = TokenSplit(2000, overlap, counter)
            took, parts = processor_s(partial(split_by_structure, document, split))
            longest = max(counter.count(part.text) for part in parts)
            print(
                f"split_tokens 2000, overlap {overlap}, {name}: {took / plain:.1f} passes, "
                f"{len(parts)} parts, the longest {longest} tokens"
            )
    reading = folder(arguments.documents)
    plain, _ = processor_s(lambda: [word_spans(each.text) for each in reading.documents])
    took, summary = processor_s(lambda: summary_of(reading, reading.documents, ESTIMATE))
    duplicates = sum(each.duplicate_of is not None for each in summary.documents)
    print(
        f"{len(reading.documents):,} documents, {summary.tokens:,} tokens: {took:.1f} s, "
        f"{took / plain:.1f} passes; {duplicates} near-duplicates"
    )


if __name__ == "__main__":
    main()
