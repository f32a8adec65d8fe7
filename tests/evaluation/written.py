"""Documents and candidates that the tests of written questions share."""

from __future__ import annotations

from typing import Any

from steep.documents.document import Document
from steep.evaluation.writing.candidates import Candidate
from steep.evaluation.writing.sources import Sources

FERRY = Document(
    "quillon",
    "The Quillon Ferry",
    "Edda Varnholt built it in 1887.\n\nA steel rope, laid by the firm of Hask, pulls it.",
    "Harris, Larry M.",
    1961,
)
FIRM = Document("hask", "Hask and Daughters", "Orla Hask founded the firm of Hask in Tessel.")
SOURCES = Sources((FERRY, FIRM))


def candidate(**fields: Any) -> Candidate:
    usual: dict[str, Any] = {
        "kind": "choice",
        "part_ids": ("quillon",),
        "document_ids": ("quillon",),
        "question": "Who built the Quillon Ferry?",
        "answers": ("Edda Varnholt",),
        "wrong": ("Orla Hask", "Joren Pell", "Ines Hask"),
        "quotes": ("Edda Varnholt built it in 1887.",),
    }
    return Candidate(**{**usual, **fields}).identified()


SHORT = candidate(kind="short-answer", wrong=(), answers=("Edda Varnholt", "Varnholt"))
ACROSS = candidate(
    kind="across",
    part_ids=("quillon", "hask"),
    document_ids=("quillon", "hask"),
    question="Who founded the firm that laid the rope of the Quillon Ferry?",
    answers=("Orla Hask",),
    wrong=("Edda Varnholt", "Joren Pell", "Ines Hask"),
    quotes=("A steel rope, laid by the firm of Hask, pulls it.", "Orla Hask founded the firm"),
)
