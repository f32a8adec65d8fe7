"""Steps of one prompt each: samples of it about every subject that a document or answers give.

A recipe in which answers lead to further prompts (strategies, then a text for each of them) is a
list of such steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from steep.core.calls import Call, Sampling
from steep.core.ranges import Range
from steep.documents.document import Document
from steep.recipes.lengths import too_short
from steep.recipes.parsing import questions_of, written
from steep.recipes.prompt_files import filled
from steep.recipes.recipe import (
    Answers,
    CallSequence,
    Rejected,
    Repeated,
    Step,
    Writer,
    ask,
    foreign_language,
)


class PromptSubject(NamedTuple):
    """What one call is about: its `subset`, and the values that are filled into the prompt."""

    subset: tuple[str, ...] = ()
    values: Mapping[str, str] = {}


# Returns the subjects of a document, given the answers of the steps that are needed.
Subjects = Callable[[Document, Answers], Sequence[PromptSubject]]
# Returns the training text in an answer, as `Step.passage`.
Passages = Callable[[Call, str], str | Rejected | None]


def no_subject(document: Document, answers: Answers) -> Sequence[PromptSubject]:
    """Return a single subject: the document itself."""
    return (PromptSubject(),)


def whole_answer(call: Call, text: str) -> str | Rejected | None:
    """Return the answer as it is."""
    return text


def questions_only(call: Call, text: str) -> str | Rejected | None:
    """Return the questions with their answers as training text; all else is left out."""
    found = questions_of(text)
    return written(found) if found else Rejected("no-questions")


@dataclass(frozen=True)
class Prompted(Step):
    """Samples of one prompt about each subject; the subjects take turns.

    Attributes:
        recipe: Name of the recipe.
        name: Name of the step.
        prompt: The template: see `filled`. Each value of a subject is a placeholder in it.
        writer: The generator.
        samples: Calls per subject.
        subjects: Gives the subjects of a document.
        expected: Number of subjects of a document before the answers exist; None: those that
            `subjects` gives without answers.
        typical: A subject of typical size, for a forecast.
        sampling: In place of the writer's.
        take: Gives the training text in an answer.
        translates: Asks for the language of a document that is not in English.
        least_words: A shorter document gets no call.
    """

    recipe: str
    name: str
    prompt: str = field(repr=False)
    writer: Writer
    samples: int = 1
    subjects: Subjects = no_subject
    needs: tuple[str, ...] = ()  # type: ignore[misc]
    expected: Range | Callable[[Document], Range] | None = None
    typical: PromptSubject | None = None
    sampling: Sampling | None = None
    counts: bool = True  # type: ignore[misc]
    gives_text: bool = True
    quotes_prompt: bool = False
    take: Passages = whole_answer
    translates: bool = True
    least_words: int = 0

    def calls(self, document: Document, answers: Answers) -> CallSequence:
        """Return sample 0 about every subject, then sample 1 about every subject, and so on."""
        subjects = tuple(self.subjects(document, answers)) if self._suits(document) else ()

        def make(rank: int) -> Call:
            sample, number = divmod(rank, len(subjects))
            return self._call(document, subjects[number], sample)

        basis = [[list(each.subset), dict(each.values)] for each in subjects]
        many = self.needs or len(subjects) > 1
        return Repeated(make, self.samples * len(subjects), basis if many else None)

    def expected_calls(self, document: Document) -> Range:
        """Return the number of calls; a range while earlier answers decide about it."""
        if not self._suits(document):
            return Range.exactly(0)
        if self.expected is None:
            return Range.exactly(self.samples * len(self.subjects(document, {})))
        expected = self.expected if isinstance(self.expected, Range) else self.expected(document)
        return expected.times(self.samples)

    def specimen(self, document: Document) -> Call:
        """Return a call about a subject of typical size."""
        found = self.typical or next(iter(self.subjects(document, {})), PromptSubject())
        return self._call(document, found, 0)

    def passage(self, call: Call, text: str) -> str | Rejected | None:
        """Return the training text in an answer."""
        return self.take(call, text)

    def _suits(self, document: Document) -> bool:
        return too_short(document, self.least_words) is None

    def _shown(self, document: Document, subject: PromptSubject) -> Document:
        return document

    def _call(self, document: Document, subject: PromptSubject, sample: int) -> Call:
        language = foreign_language(document) if self.translates else None
        shown = self._shown(document, subject)
        messages = filled(self.prompt, shown, language, **subject.values)
        return ask(
            self.recipe, self.name, document, self.writer, messages,
            subset=subject.subset, sample=sample, sampling=self.sampling,
        )  # fmt: skip
