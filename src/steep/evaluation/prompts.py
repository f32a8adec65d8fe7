"""The prompts of all methods, and the order and letters of options.

Likelihoods are those of an option after the question and the name of its document (title, author
and year, as in section 4.1 of the paper): questions like "Why did he leave?" are ambiguous alone.

Written answers follow five solved examples, with the question as the sixth. Layout and order of
parts are the paper's (section 4.1, appendix F): a numbered heading per example; sections for the
question, its choices, and a thought process that ends in a line `Answer: C.`. The examples are some
800 tokens (1,750 with contexts) that all questions of a set share; engines compute them once. All
prompts of a set state whether several options may be right: a question must not reveal how many it
has.

A model that prefers a letter would be rewarded if the right answer often stood there, so options
can be shown in a random order, which follows from seed and question id alone. Rows keep it: scores
are those of the option, never of its letter.
"""

from __future__ import annotations

import json
import string
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from steep.core.errors import UserError
from steep.core.ids import derive_seed
from steep.core.permutation import Permutation
from steep.documents.document import Document
from steep.evaluation.questions import Question
from steep.retrieval.chunks import heading_of

LETTERS = string.ascii_uppercase
STOP = "\n## "  # the next example: what a base model writes after its answer
SHORT_STOP = "\n"
_ONE = "Only one of the choices is correct."
_SEVERAL = "One or more of the choices are correct."


@dataclass(frozen=True, slots=True)
class Example:
    """A solved question; `gold` counts options from 0, `contexts` are passages of the book."""

    book: Document
    question: str
    options: tuple[str, ...]
    gold: tuple[int, ...]
    thoughts: str
    contexts: tuple[str, ...]
    answer: str


@cache
def examples(several: bool) -> tuple[Example, ...]:
    """Return the five solved examples, about famous books.

    Questions, thought processes and contexts are our own. The right letters, C, B, A, A, D, and the
    numbers of contexts, 1, 2, 3, 3, 5, are the paper's (section 4.1 and appendix F). Where several
    options may be right, two of the five give way to questions that have several.
    """
    wanted = "several right" if several else "one right"
    return tuple(
        Example(
            book=Document(row["title"], row["title"], "", row["author"], row["year"]),
            question=row["question"],
            options=tuple(row["options"]),
            gold=tuple(row["gold"]),
            thoughts=row["thoughts"],
            contexts=tuple(row["contexts"]),
            answer=row["answer"],
        )
        for row in read_data("few_shot.jsonl")
        if wanted in row["shown_when"]
    )


def read_data(name: str) -> list[Any]:
    """Read one of the JSON Lines files of this package."""
    text = (resources.files("steep") / "evaluation" / "data" / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def closed_book_prompt(question: Question, document: Document) -> str:
    """Return the text whose continuation is an option; it ends without a space."""
    return f"Question: In the article {named(document)}: {question.question}\nAnswer:"


def open_book_likelihood_prompt(
    question: Question, document: Document, contexts: Sequence[str]
) -> str:
    """Return the same text after these contexts, which come first as in the paper (appendix F)."""
    return "\n\n".join([*contexts, closed_book_prompt(question, document)])


def continuation(option: str) -> str:
    """Return an option as it follows the prompt."""
    return f" {option}"


def named(document: Document) -> str:
    """Return the title of a document, with author and year where known."""
    author = f" by {document.author_name}" if document.author_name else ""
    year = f" ({document.year})" if document.year else ""
    return f'"{document.title}"{author}{year}'


def few_shot_prompt(
    question: Question,
    document: Document,
    order: Sequence[int],
    several: bool = False,
    contexts: Sequence[str] | None = None,
) -> str:
    """Return the prompt after five solved examples, to be continued with the thought process.

    Options are shown in this order, see `option_order`. `several` is True if any question of the
    set has several right ones. Contexts stand before the question, and the examples have their own;
    None is closed book. The text of the document is never shown.
    """
    solved = [
        _solved(number, each, several, contexts is not None)
        for number, each in enumerate(examples(several), start=1)
    ]
    shown = [question.options[option] for option in order]
    asked = about(document, question.question)
    number = len(solved) + 1
    return "\n\n".join([*solved, _sections(number, asked, shown, several, contexts)])


def short_answer_prompt(question: Question, document: Document) -> str:
    """Return five questions with short answers, then this one, to be answered in the same line."""
    lines = [f"Question: {about(e.book, e.question)}\nAnswer: {e.answer}" for e in examples(False)]
    return "\n\n".join([*lines, f"Question: {about(document, question.question)}\nAnswer:"])


def about(document: Document, question: str) -> str:
    """Return the question with the name of its document before it."""
    return f"In {named(document)}, {_lower_first(question)}"


def named_text(document: Document, text: str) -> str:
    """Return a passage under the title, author and year of its document, as contexts are shown."""
    return f"{heading_of(document)}\n\n{text}"


def _solved(number: int, example: Example, several: bool, open_book: bool) -> str:
    contexts = [named_text(example.book, each) for each in example.contexts] if open_book else None
    asked = about(example.book, example.question)
    opened = _sections(number, asked, example.options, several, contexts)
    letters = letters_of(example.gold, range(len(example.options)))
    return f"{opened} {example.thoughts}\nAnswer: {letters}."


def _sections(
    number: int,
    question: str,
    options: Sequence[str],
    several: bool,
    contexts: Sequence[str] | None,
) -> str:
    """Return one example up to the words that open the thought process."""
    gap = "\n" if contexts is None else "\n\n"
    asked = f"{question} {_SEVERAL if several else _ONE}"
    choices = [f"{LETTERS[place]}. {option}" for place, option in enumerate(options)]
    return gap.join(
        [
            f"## Example {number}",
            "### Question",
            *_shown_contexts(contexts),
            asked,
            "### Choices",
            "\n".join(choices),
            "### Thought Process and Answer",
            "Thought process:",
        ]
    )


def _shown_contexts(contexts: Sequence[str] | None) -> list[str]:
    if not contexts:
        return []
    many = f"The {len(contexts)} contexts below" if len(contexts) > 1 else "The context below"
    numbered = [f"*Context {n}*\n\n{context}" for n, context in enumerate(contexts, start=1)]
    return [f"{many} may help to answer the question that follows.", *numbered]


def _lower_first(question: str) -> str:
    """Lower-case the first letter: the question now stands within a sentence."""
    first_word = question.split(" ", 1)[0]
    if first_word == "I" or (len(first_word) > 1 and first_word.isupper()):
        return question
    return question[:1].lower() + question[1:]


def option_order(question_id: str, options: int, seed: int | None) -> tuple[int, ...]:
    """Return the option shown at each place; without a seed, the order of the file.

    Raises:
        UserError: There are more options than letters.
    """
    if options > len(LETTERS):
        raise UserError(
            "A question has more options than there are letters.",
            where=f"the question '{question_id}'",
            expected=f"at most {len(LETTERS)}",
            found=options,
        )
    if seed is None:
        return tuple(range(options))
    permutation = Permutation(options, derive_seed(seed, "shown order", question_id))
    return tuple(permutation[place] for place in range(options))


def letters_of(chosen: Sequence[int], order: Sequence[int]) -> str:
    """Return the letters under which these options are shown, in alphabetical order."""
    return "".join(LETTERS[place] for place in sorted(order.index(option) for option in chosen))


def options_of(letters: str, order: Sequence[int]) -> tuple[int, ...]:
    """Return the options that these letters stand for, in the order of the question."""
    return tuple(sorted(order[LETTERS.index(letter)] for letter in letters))
