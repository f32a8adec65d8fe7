"""Focal rewriting, the documents of SMT (Han et al., arXiv 2603.23562, appendices B and D).

Question, strategy, text: step `questions` has the generator ask about a document, step `strategies`
asks per question for strategies to learn what it needs, and step `texts` rewrites the document by
one strategy, as Active Reading does, with a clause that concentrates on what the question needs.
The prompts were written for Steep to meet these demands.

Temperature 0.7, top-p 0.95 and 4,096 tokens are SMT's for documents. It does not give the numbers
of questions per document and of strategies per question.

SMT trains on these texts and on questions with answers, 1:1 by tokens. The arm says so:
`arms: {smt: {focal: 0.5, qa: 0.5}}`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from pydantic import Field

from steep.documents.document import Document
from steep.recipes.active_reading import (
    FRAME,
    HEADINGS,
    LEAST_WORDS,
    QUESTION_MARKS,
    TYPICAL,
    StrategyOptions,
    expected_strategies,
    strategies_in,
    what_came,
)
from steep.recipes.lengths import too_short
from steep.recipes.parsing import items_of
from steep.recipes.prompt_files import framed
from steep.recipes.prompted import Prompted, PromptSubject
from steep.recipes.recipe import Answers, Recipe, RecipeKind, Writer

ONE_PER_LINE = "a list of questions, one per line, each with a question mark"
QUESTION = "What does the document say about some person or thing that it names, and why?"


class FocalOptions(StrategyOptions):
    """Questions about each document, strategies for each, and texts that apply them."""

    questions: int = Field(10, ge=1, description="per document; unpublished")
    strategies: int = Field(2, ge=1, description="per question; unpublished")
    samples: int = Field(1, ge=1, description="texts per strategy; unpublished")


def questions_in(texts: Sequence[str | None], most: int) -> list[str]:
    """Return the first questions that some answers list."""
    items = [item for text in texts for item in items_of(text or "")]
    asked = (item for item in items if item.endswith(QUESTION_MARKS))
    return list(dict.fromkeys(asked))[:most]


@dataclass(frozen=True)
class Focal(Recipe):
    """The recipe; `focal()` makes it."""

    def unsuitable(self, document: Document) -> str | None:
        """Return that a document is too short, or None."""
        return too_short(document, LEAST_WORDS)

    def why_nothing(self, document: Document, answers: Answers) -> str:
        """Return how an answer without any question, or without any strategy, begins."""
        if answers.get("strategies"):
            return what_came(answers["strategies"], HEADINGS)
        return what_came(answers.get("questions", ()), ONE_PER_LINE)

    @property
    def expected_answer(self) -> str:
        """The form of the answers of the first steps."""
        return f"{ONE_PER_LINE}; then {HEADINGS}"


def subjects_to_write(options: FocalOptions, answers: Answers) -> list[PromptSubject]:
    """Return the first strategy of every question, then the second of every one, and so on."""
    asked = questions_in(answers.get("questions", ()), options.questions)
    of_question = [
        list(strategies_in([text], options.strategies).items())
        for text in answers.get("strategies", ())
    ]
    return [
        PromptSubject((question, own[turn][0]), {"strategy": own[turn][1], "question": question})
        for turn in range(options.strategies)
        for question, own in zip(asked, of_question, strict=False)
        if turn < len(own)
    ]


def focal(name: str, options: FocalOptions, writer: Writer) -> Recipe:
    """Return the recipe with these options."""
    step = partial(Prompted, name, writer=writer.sampled(options), least_words=LEAST_WORDS)
    prepares = partial(step, counts=False, gives_text=False)
    number = expected_strategies(options.questions)

    def to_learn(document: Document, answers: Answers) -> list[PromptSubject]:
        asked = questions_in(answers.get("questions", ()), options.questions)
        return [PromptSubject((each,), {"question": each}) for each in asked]

    questions = prepares(
        name="questions",
        prompt=_numbered("focal/questions.md", "questions", options.questions),
    )
    strategies = prepares(
        name="strategies",
        prompt=_numbered("focal/strategies.md", "strategies", options.strategies),
        subjects=to_learn,
        needs=("questions",),
        expected=number,
        typical=PromptSubject((QUESTION,), {"question": QUESTION}),
    )
    texts = step(
        name="texts",
        prompt=framed(FRAME, "active-reading/text.md", "focal/focus.md"),
        samples=options.samples,
        subjects=lambda document, answers: subjects_to_write(options, answers),
        needs=("questions", "strategies"),
        expected=number.times(options.strategies),
        typical=PromptSubject((QUESTION, "name"), {"strategy": TYPICAL, "question": QUESTION}),
    )
    return Focal(name, (questions, strategies, texts))


def _numbered(path: str, name: str, number: int) -> str:
    return framed(FRAME, path).replace(f"{{{name}}}", str(number))


KIND = RecipeKind(FocalOptions, focal)
