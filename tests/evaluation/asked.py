"""Questions and a document that tests of prompts, parsers and engines share."""

from __future__ import annotations

from dataclasses import replace

from steep.documents.document import Document
from steep.evaluation.questions import Question

DOCUMENT = Document(
    "quillon", "The Quillon Ferry", "A steel rope pulls it.", "Harris, Larry M.", 1961
)
BARE = replace(DOCUMENT, author=None, year=None)
QUESTION = Question(
    "q1", "quillon", "near", "What pulls the ferry along?", ("a rope", "a mule", "wind"), (0,)
)
SEVERAL = Question(
    "q2",
    "quillon",
    "near",
    "NATO ships are not there; who is?",
    ("Edda", "Joren", "a dog", "nobody", "a cat"),
    (0, 1),
)
SHORT = Question("q3", "quillon", "short-answer", "Who built it?", (), (), ("Edda Varnholt",))
