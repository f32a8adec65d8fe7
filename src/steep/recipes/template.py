"""A recipe that is a prompt and a number of samples, without any Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from steep.core.calls import Call
from steep.core.config import operational
from steep.core.errors import UserError
from steep.core.ranges import Range
from steep.documents.document import Document
from steep.recipes.prompt_files import DOCUMENT, filled
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
    steps: Sequence[Step] = (Samples(name, prompts, samples, writer),)
    return Recipe(name, tuple(steps))


KIND = RecipeKind(TemplateOptions, _make)
