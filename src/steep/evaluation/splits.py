"""Validation and test documents, as the paper's code divides them.

Documents of equal title and author are one; sorted by title, the first fifth is for choosing
settings and the rest for the figures that are reported (53 and 212 of QuALITY's 265).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from steep.documents.document import Document
from steep.evaluation.questions import Question

VALIDATION_PERCENT = 20


class QuestionSplit(NamedTuple):
    """Ids of whole documents; every document is in one of the two."""

    validation: frozenset[str]
    test: frozenset[str]


def split_documents(documents: Iterable[Document]) -> QuestionSplit:
    """Divide the documents by title."""
    ids: dict[tuple[str, str], set[str]] = {}
    for document in documents:
        ids.setdefault((document.title, document.author_name), set()).add(document.whole_id)
    ordered = sorted(ids)
    first = len(ordered) * VALIDATION_PERCENT // 100
    sides = (ordered[:first], ordered[first:])
    return QuestionSplit(*(frozenset().union(*(ids[name] for name in side)) for side in sides))


def questions_on(questions: Sequence[Question], document_ids: frozenset[str]) -> list[Question]:
    """Those questions that are about one of these documents."""
    return [question for question in questions if question.document_id in document_ids]
