"""The two baselines of the paper: rephrasing the document, and questions with answers about it.

Rephrase (appendix H.2, adapted from WRAP): three fixed prompts, *easy*, *medium* and *hard*,
sampled again and again. QA (appendix E): one prompt that asks for the content as questions and
answers. Both at temperature 1.0; the prompts are written for Steep.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from steep.recipes.prompt_files import prompt_text
from steep.recipes.recipe import Recipe, RecipeKind, RecipeOptions, Writer
from steep.recipes.template import fixed_prompts

Style = Literal["easy", "medium", "hard"]


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
