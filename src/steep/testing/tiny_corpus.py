"""Three short invented documents and six four-choice questions on them, for end-to-end tests.

Nothing in them is true of the real world, so no model can know it beforehand.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class TinyDocument:
    """A title and its text; `id` is also the file name that `write_tiny_corpus` gives it."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class TinyQuestion:
    """A question with four options, of which `gold` is the index of the right one."""

    id: str
    document_id: str
    kind: str
    question: str
    options: tuple[str, str, str, str]
    gold: int


class TinyCorpus(NamedTuple):
    """The paths of the documents and the questions."""

    documents: Path
    questions: Path


DOCUMENTS = (
    TinyDocument(
        "quillon",
        "The Quillon Ferry",
        "The Quillon Ferry crosses Lake Ostrel between Marrowgate and Tessel. "
        "Edda Varnholt built it in 1887 from the hull of a grain barge. "
        "A steel rope, laid by the firm of Hask and Daughters, pulls the ferry along. "
        "The crossing takes eleven minutes and costs two copper marks. "
        "In the winter of 1902 the rope broke, and Joren Pell rowed all forty passengers ashore.",
    ),
    TinyDocument(
        "pell",
        "Joren Pell",
        "Joren Pell was a beekeeper from Tessel who became harbour master of Marrowgate. "
        "He learned to row from his aunt, Edda Varnholt. "
        "For the rescue of 1902 the town gave him a silver oar, which hangs in the Guildhall. "
        "Pell later wrote the Almanac of Still Water, a book about fog on Lake Ostrel. "
        "He never learned to swim.",
    ),
    TinyDocument(
        "hask",
        "Hask and Daughters",
        "Hask and Daughters made ropes in Tessel from 1861 to 1940. "
        "Its founder, Orla Hask, twisted nettle fibre before she turned to steel. "
        "The firm supplied the Quillon Ferry, the Bram Mine and three circuses. "
        "After the rope of the ferry broke, Ines Hask invented the double strand, "
        "and every rope of the firm carried a blue thread from then on.",
    ),
)

QUESTIONS = (
    TinyQuestion(
        "tiny-1", "quillon", "near the text",
        "Who built the Quillon Ferry in 1887?",
        ("Orla Hask", "Edda Varnholt", "Joren Pell", "Ines Hask"), 1,
    ),
    TinyQuestion(
        "tiny-2", "quillon", "other words",
        "What was the vessel before it carried people over the lake?",
        ("a fishing boat", "a circus wagon", "a coal ship", "a grain barge"), 3,
    ),
    TinyQuestion(
        "tiny-3", "pell", "near the text",
        "What did the town give Joren Pell for the rescue of 1902?",
        ("a silver oar", "a blue thread", "a steel rope", "two copper marks"), 0,
    ),
    TinyQuestion(
        "tiny-4", "pell", "other words",
        "Which book did the beekeeper write?",
        ("The Nettle and the Wire", "Forty Ashore", "The Almanac of Still Water", "Eleven Minutes"),
        2,
    ),
    TinyQuestion(
        "tiny-5", "hask", "near the text",
        "What did Ines Hask invent?",
        ("the grain barge", "the double strand", "nettle fibre", "the steel oar"), 1,
    ),
    TinyQuestion(
        "tiny-6", "hask", "joins two facts",
        "In which town did the makers of the ferry's rope work?",
        ("Marrowgate", "Bram", "Ostrel", "Tessel"), 3,
    ),
)  # fmt: skip


def write_tiny_corpus(folder: Path) -> TinyCorpus:
    """Write `documents/` (two Markdown files, one JSONL) and `questions.jsonl` into `folder`."""
    documents = folder / "documents"
    documents.mkdir(parents=True, exist_ok=True)
    *as_markdown, as_jsonl = DOCUMENTS
    for document in as_markdown:
        path = documents / f"{document.id}.md"
        path.write_text(f"# {document.title}\n\n{document.text}\n", encoding="utf-8")
    row = {"id": as_jsonl.id, "title": as_jsonl.title, "text": as_jsonl.text}
    (documents / "more.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    questions = folder / "questions.jsonl"
    lines = [json.dumps(asdict(each)) + "\n" for each in QUESTIONS]
    questions.write_text("".join(lines), encoding="utf-8")
    return TinyCorpus(documents, questions)
