"""A recipe of the user without any Python: a prompt in a Markdown file, and a number of samples."""

from __future__ import annotations

import difflib
from pathlib import Path

from pydantic import Field

from steep.core.config import operational
from steep.core.errors import UserError
from steep.recipes.prompt_files import DOCUMENT, PLACEHOLDERS, unknown_placeholder
from steep.recipes.recipe import Recipe, RecipeKind, RecipeOptions, Writer
from steep.recipes.samples import fixed_prompts


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
        UserError: There is no such file, it has no place for the document, or a placeholder that
            stands for nothing.
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
    if (unknown := unknown_placeholder(text)) is not None:
        near = difflib.get_close_matches(unknown.lower(), PLACEHOLDERS, n=1)
        raise UserError(
            "The template of a recipe has a placeholder that stands for nothing.",
            where=options.template,
            expected=", ".join(f"{{{name}}}" for name in PLACEHOLDERS),
            found=f"{{{unknown}}}",
            hint=f"did you mean {{{near[0]}}}?"
            if near
            else f"if braces are meant, write {{ {unknown} }}",
        )
    return options.model_copy(update={"text": text})


def _make(name: str, options: TemplateOptions, writer: Writer) -> Recipe:
    return fixed_prompts(name, {"": options.text}, options.samples, writer)


KIND = RecipeKind(TemplateOptions, _make)
