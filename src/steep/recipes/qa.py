"""QA (appendix E of the EntiGraph paper): one prompt that asks for questions and answers.

Sampled again and again at temperature 1.0. The prompt is written for Steep.
"""

from __future__ import annotations

from pydantic import Field

from steep.recipes.prompt_files import prompt_text
from steep.recipes.recipe import Recipe, RecipeKind, RecipeOptions, Writer
from steep.recipes.samples import fixed_prompts


class QAOptions(RecipeOptions):
    """The paper's baseline: questions and answers about each document."""

    samples: int = Field(4, ge=1, description="texts per document, each with many questions")


def qa(name: str, options: QAOptions, writer: Writer) -> Recipe:
    """Return the recipe with these options."""
    return fixed_prompts(name, {"": prompt_text("qa/questions.md")}, options.samples, writer)


KIND = RecipeKind(QAOptions, qa)
