"""What a likelihood is asked after: the question and the document's name; open book, contexts too.

The prompt is a plain text that a base model continues and an instruct model understands. Questions
such as "Why did he leave?" are ambiguous alone, so the title (with author and year, where known) is
named first, as in the paper (section 4.1).
"""

from __future__ import annotations

from collections.abc import Sequence

from steep.documents.document import Document
from steep.evaluation.questions import Question


def closed_book_prompt(question: Question, document: Document) -> str:
    """The text whose continuation is the answer; it ends without a blank."""
    return f"Question: {_context(document)}: {question.question}\nAnswer:"


def open_book_prompt(question: Question, document: Document, contexts: Sequence[str]) -> str:
    """The same after these contexts, which stand first as in the paper (appendix F)."""
    return "\n\n".join([*contexts, closed_book_prompt(question, document)])


def continuation(option: str) -> str:
    """An option as it follows the prompt."""
    return f" {option}"


def _context(document: Document) -> str:
    author = f" by {document.author_name}" if document.author_name else ""
    year = f" ({document.year})" if document.year else ""
    return f'In the article "{document.title}"{author}{year}'
