from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from steep.documents.document import Document
from steep.evaluation.prompts import closed_book_prompt, continuation
from steep.evaluation.questions import Question

GOLDEN = Path(__file__).parent / "golden"
DOCUMENT = Document(
    "quillon", "The Quillon Ferry", "A steel rope pulls it.", "Harris, Larry M.", 1961
)
BARE = replace(DOCUMENT, author=None, year=None)
QUESTION = Question(
    "q1", "quillon", "near", "What pulls the ferry along?", ("a rope", "a mule"), (0,)
)


@pytest.mark.parametrize(
    ("name", "document"), [("closed_book", DOCUMENT), ("closed_book_title_only", BARE)]
)
def test_prompts_are_the_golden_ones(name: str, document: Document) -> None:
    assert closed_book_prompt(QUESTION, document) + "\n" == (GOLDEN / f"{name}.txt").read_text()


def test_the_text_of_the_document_is_never_shown() -> None:
    assert "steel rope" not in closed_book_prompt(QUESTION, DOCUMENT)


def test_prompt_and_option_join_with_one_blank() -> None:
    assert (closed_book_prompt(QUESTION, BARE) + continuation("a rope")).endswith("Answer: a rope")
