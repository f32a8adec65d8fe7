"""Samples of fixed prompts: what recipes without preparing steps are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from steep.core.calls import Call
from steep.core.ranges import Range
from steep.documents.document import Document
from steep.recipes.prompt_files import filled
from steep.recipes.recipe import (
    Answers,
    CallSequence,
    Recipe,
    Repeated,
    Step,
    Writer,
    ask,
    foreign_language,
)


@dataclass(frozen=True)
class Samples(Step):
    """Samples of fixed prompts; the prompts take turns, so that the first k have equal shares.

    Attributes:
        recipe: Name of the recipe.
        prompts: The templates by name; the name is the call's `subset`. One prompt needs no name.
        samples: Number of samples per prompt and document.
        writer: The generator.
        shows_author: Whether the document is shown with its author and year.
    """

    recipe: str
    prompts: Mapping[str, str]
    samples: int
    writer: Writer
    name: str = "texts"
    shows_author: bool = True

    def calls(self, document: Document, answers: Answers) -> CallSequence:
        """Return sample 0 of every prompt, then sample 1 of every prompt, and so on."""
        language = foreign_language(document)
        names = list(self.prompts)
        shown = document if self.shows_author else replace(document, author=None, year=None)
        messages = [filled(self.prompts[name], shown, language) for name in names]

        def make(rank: int) -> Call:
            sample, number = divmod(rank, len(names))
            subset = (names[number],) if names[number] else ()
            return ask(
                self.recipe, self.name, document, self.writer, messages[number],
                subset=subset, sample=sample,
            )  # fmt: skip

        # The first call shows only the first prompt.
        basis = [[each.content for each in other] for other in messages[1:]]
        return Repeated(make, self.samples * len(names), basis or None)

    def expected_calls(self, document: Document) -> Range:
        """Return the exact number of calls."""
        return Range.exactly(self.samples * len(self.prompts))

    def specimen(self, document: Document) -> Call:
        """Return the first call."""
        return self.calls(document, {})[0]


def fixed_prompts(name: str, prompts: Mapping[str, str], samples: int, writer: Writer) -> Recipe:
    """Return a recipe of one step: samples of fixed prompts."""
    return Recipe(name, (Samples(name, prompts, samples, writer),))
