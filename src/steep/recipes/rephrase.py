"""Rephrase (appendix H.2 of the EntiGraph paper, adapted from WRAP): the paper's baseline.

Three fixed prompts, *easy*, *medium* and *hard*, sampled again and again at temperature 1.0. Two
more styles are offered: *qa*, the fourth of WRAP (Maini et al. 2024, arXiv 2401.16380), a
conversation of questions and answers; and *single*, one plain prompt alone, the Rephrase row of SPA
(arXiv 2603.22213). The prompts are written for Steep. WRAP's temperature is not published, and it
rephrases chunks of some 300 tokens: set `documents.split_tokens` for that.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from steep.recipes.prompt_files import prompt_text
from steep.recipes.recipe import Recipe, RecipeKind, RecipeOptions, Writer
from steep.recipes.samples import fixed_prompts

Style = Literal["easy", "medium", "hard", "qa", "single"]


class RephraseOptions(RecipeOptions):
    """The paper's baseline: paraphrases of each document."""

    styles: tuple[Style, ...] = Field(
        ("easy", "medium", "hard"),
        min_length=1,
        description="easy: plainest words; hard: scholarly; qa: WRAP's fourth, questions and "
        "answers; single: plain, SPA's one prompt",
    )
    samples: int = Field(4, ge=1, description="texts per style and document")


def rephrase(name: str, options: RephraseOptions, writer: Writer) -> Recipe:
    """Return the recipe with these options."""
    prompts: dict[str, str] = {
        style: prompt_text(f"rephrase/{style}.md") for style in options.styles
    }
    return fixed_prompts(name, prompts, options.samples, writer)


KIND = RecipeKind(RephraseOptions, rephrase)
