"""A small corpus, and embedders and rerankers whose every number can be told in advance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from steep.documents.document import Document
from steep.retrieval.index import Vectors
from steep.retrieval.rerank import Candidates

FERRY = Document(
    "ferry",
    "The Quillon Ferry",
    "The ferry crosses the Sarn at noon.\n\nIts captain is Odile Marsh.\n\nIt carries salt.",
    author="Pell, Hedda",
    year=1961,
)
GLASS = Document("glass", "Glass of Velmora", "Velmora makes green glass.\n\nThe kilns are cold.")
EELS = Document("eels", "Eels", "Eels swim in the Sarn.\n\nThe captain of the eel boats is Brandt.")
DOCUMENTS = (FERRY, GLASS, EELS)

ALPHABET = "abcdefghijklmnopqrstuvwxyz"


class Letters:
    """Embeds a text as how often each letter stands in it, and counts what it was asked."""

    name = "letters"

    def __init__(self) -> None:
        self.embedded: list[str] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.embedded += texts
        counts = [[text.lower().count(letter) for letter in ALPHABET] for text in texts]
        return np.array(counts, dtype=np.float32)


class Shortest:
    """Thinks that the shortest text is the best, and counts what it was asked."""

    name = "shortest"

    def __init__(self) -> None:
        self.questions: list[str] = []

    def score(self, candidates: Sequence[Candidates]) -> list[list[float]]:
        self.questions += [each.question for each in candidates]
        return [[-float(len(text)) for text in each.texts] for each in candidates]
