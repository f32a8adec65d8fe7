"""Recipes of fixed prompts and a number of samples: the baselines of the paper, and templates.

Rephrase (appendix H.2, adapted from WRAP): three fixed prompts, *easy*, *medium* and *hard*,
sampled again and again. QA (appendix E): one prompt that asks for the content as questions and
answers. Both at temperature 1.0; the prompts are written for Steep. A template of the user is a
recipe without any Python.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from steep.core.calls import Call
from steep.core.config import operational
from steep.core.errors import UserError
from steep.core.ranges import Range
from steep.documents.document import Document
from steep.recipes.prompt_files import DOCUMENT, filled, prompt_text
from steep.recipes.recipe import (
    Answers,
    CallSequence,
    Recipe,
    RecipeKind,
    RecipeOptions,
    Repeated,
    Step,
    Writer,
    ask,
    foreign_language,
)

Style = Literal["easy", "medium", "hard"]


@dataclass(frozen=True)
class Samples(Step):
    """Samples of fixed prompts; the prompts take turns, so that the first k have equal shares.

    Attributes:
        recipe: Name of the recipe.
        prompts: The templates by name; the name is the call's `subset`. One prompt needs no name.
        samples: Number of samples per prompt and document.
        writer: The generator.
    """

    recipe: str
    prompts: Mapping[str, str]
    samples: int
    writer: Writer
    name: str = "texts"

    def calls(self, document: Document, answers: Answers) -> CallSequence:
        """Return sample 0 of every prompt, then sample 1 of every prompt, and so on."""
        language = foreign_language(document)
        names = list(self.prompts)
        messages = [filled(self.prompts[name], document, language) for name in names]

        def make(rank: int) -> Call:
            sample, number = divmod(rank, len(names))
            subset = (names[number],) if names[number] else ()
            return ask(
                self.recipe, self.name, document, self.writer, messages[number],
                subset=subset, sample=sample,
            )  # fmt: skip

        return Repeated(make, self.samples * len(names))

    def expected_calls(self, document: Document) -> Range:
        """Return the exact number of calls."""
        return Range.exactly(self.samples * len(self.prompts))

    def specimen(self, document: Document) -> Call:
        """Return the first call."""
        return self.calls(document, {})[0]


class TemplateOptions(RecipeOptions):
    """A recipe of your own: a prompt and a number of samples."""

    template: Path = operational(
        ..., description="a Markdown file; {document} and {title} are filled in"
    )
    samples: int = Field(1, ge=1, description="texts per document")
    text: str = Field("", description="the prompt itself; read from the file")


def read_template(options: TemplateOptions) -> TemplateOptions:
    """Return the options with the text of the template, which decides about the calls.

    Raises:
        UserError: There is no such file, or it has no place for the document.
    """
    try:
        text = options.template.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            "The template of a recipe cannot be read.",
            where=options.template,
            expected=f"a Markdown file in UTF-8 with {DOCUMENT} in it",
            found=error,
        ) from error
    if DOCUMENT not in text:
        raise UserError(
            "The template of a recipe has no place for the document.",
            where=options.template,
            expected=f"{DOCUMENT}, where the document stands in the prompt",
        )
    return options.model_copy(update={"text": text})


def _make(name: str, options: TemplateOptions, writer: Writer) -> Recipe:
    return fixed_prompts(name, {"": options.text}, options.samples, writer)


def fixed_prompts(name: str, prompts: Mapping[str, str], samples: int, writer: Writer) -> Recipe:
    """Return a recipe of one step: samples of fixed prompts."""
    return Recipe(name, (Samples(name, prompts, samples, writer),))


class RephraseOptions(RecipeOptions):
    """The paper's baseline: paraphrases of each document."""

    styles: tuple[Style, ...] = Field(
        ("easy", "medium", "hard"),
        min_length=1,
        description="easy: plainest words; hard: scholarly",
    )
    samples: int = Field(4, ge=1, description="texts per style and document")


class QAOptions(RecipeOptions):
    """The paper's baseline: questions and answers about each document."""

    samples: int = Field(4, ge=1, description="texts per document, each with many questions")


def _rephrase(name: str, options: RephraseOptions, writer: Writer) -> Recipe:
    prompts: dict[str, str] = {
        style: prompt_text(f"rephrase/{style}.md") for style in options.styles
    }
    return fixed_prompts(name, prompts, options.samples, writer)


def _qa(name: str, options: QAOptions, writer: Writer) -> Recipe:
    return fixed_prompts(name, {"": prompt_text("qa/questions.md")}, options.samples, writer)


REPHRASE = RecipeKind(RephraseOptions, _rephrase)
QA = RecipeKind(QAOptions, _qa)
TEMPLATE = RecipeKind(TemplateOptions, _make)
