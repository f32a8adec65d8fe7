"""Few-shot prompts: five solved examples, then the question as the sixth, for any causal model.

Layout and order of parts are the paper's (section 4.1, appendix F): a numbered heading an example;
sections for the question, its choices, and a thought process that ends in a line `Answer: C.`. The
examples are some 800 tokens (1,750 with contexts) that all questions of a set share; engines
compute them once.

The open-book form puts numbered contexts before each question. Whether several options may be right
is said of the whole set, in all of its prompts: a question must not tell how many it has.
"""

from __future__ import annotations

from collections.abc import Sequence

from steep.documents.document import Document
from steep.evaluation.few_shot_examples import ONE_RIGHT, SEVERAL_RIGHT, Example
from steep.evaluation.option_order import LETTERS, letters_of
from steep.evaluation.questions import Question
from steep.retrieval.chunks import heading_of

STOP = "\n## "  # the next example: what a base model writes after its answer
SHORT_STOP = "\n"
_ONE = "Only one of the choices is correct."
_SEVERAL = "One or more of the choices are correct."


def few_shot_prompt(
    question: Question, document: Document, order: Sequence[int], several: bool = False
) -> str:
    """The closed-book prompt, to be continued with the thought process.

    Args:
        question: What is asked.
        document: Which document it is about; its text is not shown.
        order: The option shown at each place, see `option_order`.
        several: Whether any question of the set has several right options.
    """
    solved = [_solved(number, each, several) for number, each in _examples(several)]
    return "\n\n".join([*solved, _asked(question, document, order, several)])


def open_book_prompt(
    question: Question,
    document: Document,
    order: Sequence[int],
    contexts: Sequence[str],
    several: bool = False,
) -> str:
    """The same with these contexts before the question, and invented ones before the examples."""
    solved = [_solved(n, each, several, _book_contexts(each)) for n, each in _examples(several)]
    return "\n\n".join([*solved, _asked(question, document, order, several, contexts)])


def short_answer_prompt(question: Question, document: Document) -> str:
    """Five questions with short answers, then this one; the answer is the rest of the line."""
    lines = [f"Question: {about(e.book, e.question)}\nAnswer: {e.answer}" for e in ONE_RIGHT]
    return "\n\n".join([*lines, f"Question: {about(document, question.question)}\nAnswer:"])


def about(document: Document, question: str) -> str:
    """The question with the name of what it is about before it."""
    author = f" by {document.author_name}" if document.author_name else ""
    year = f" ({document.year})" if document.year else ""
    return f'In "{document.title}"{author}{year}, {_lower_first(question)}'


def named_text(document: Document, text: str) -> str:
    """A passage under the title, author and year of its document, as contexts are shown."""
    return f"{heading_of(document)}\n\n{text}"


def _examples(several: bool) -> list[tuple[int, Example]]:
    return list(enumerate(SEVERAL_RIGHT if several else ONE_RIGHT, start=1))


def _book_contexts(example: Example) -> list[str]:
    return [named_text(example.book, context) for context in example.contexts]


def _solved(
    number: int, example: Example, several: bool, contexts: Sequence[str] | None = None
) -> str:
    order = range(len(example.options))
    opened = _sections(
        number, about(example.book, example.question), example.options, several, contexts
    )
    answer = f"Answer: {letters_of(example.gold, order)}."
    return f"{opened} {example.thoughts}\n{answer}"


def _asked(
    question: Question,
    document: Document,
    order: Sequence[int],
    several: bool,
    contexts: Sequence[str] | None = None,
) -> str:
    shown = [question.options[option] for option in order]
    number = len(ONE_RIGHT) + 1
    return _sections(number, about(document, question.question), shown, several, contexts)


def _sections(
    number: int,
    question: str,
    options: Sequence[str],
    several: bool,
    contexts: Sequence[str] | None,
) -> str:
    """One example up to and with the words that open the thought process."""
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
    """Lower-case the first letter, as the question now stands within a sentence."""
    first_word = question.split(" ", 1)[0]
    if first_word == "I" or (len(first_word) > 1 and first_word.isupper()):
        return question
    return question[:1].lower() + question[1:]
