"""SPA (Tang et al., ICML 2026, arXiv 2603.22213): seven fixed prompts, sampled many times.

The prompts come from how people learn: implications, key concepts, a teacher's lesson, a discussion
between two readers, case studies, a mind map, and questions that demand critical thinking. They
were written for Steep to meet these demands. Temperature 1.0 is the publication's. It allows 8,192
tokens per text about short passages and 16,384 about QuALITY, thoughts included; Steep counts
thoughts apart (`generate.reasoning_tokens`), so 8,192 is the default for all documents.

The document is shown with its title, without author and year, as there. It trains on the title, a
line break and the text; here the prompts ask for the title in the text.

The publication gives each prompt an equal share of *tokens*. The prompts take turns here, so the
first k texts have equal shares of calls. An arm that weighs `spa/<prompt>` equally (see
`train.arms`) has equal shares of tokens.
"""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field

from steep.recipes.prompt_files import framed
from steep.recipes.recipe import Recipe, RecipeKind, SampledOptions, Writer
from steep.recipes.samples import Samples

SPAPrompt = Literal[
    "implications", "key-concepts", "teacher", "discussion", "case-studies", "mind-map", "questions"
]


class SPAOptions(SampledOptions):
    """Seven fixed study prompts about each document."""

    prompts: tuple[SPAPrompt, ...] = Field(
        get_args(SPAPrompt), min_length=1, description="a part of the seven is an ablation"
    )
    samples: int = Field(
        4, ge=1, description="texts per prompt and document; published: 50 to 110 on SQuAD"
    )
    temperature: float | None = Field(1.0, ge=0, le=2, description="SPA: 1.0")
    top_p: float | None = Field(1.0, gt=0, le=1, description="SPA: 1.0 on QuALITY, 0.95 on SQuAD")
    max_tokens: int | None = Field(
        8192, ge=16, description="of one completion; SPA: 8192 on SQuAD, 16384 on QuALITY"
    )


def spa(name: str, options: SPAOptions, writer: Writer) -> Recipe:
    """Return the recipe with these options."""
    prompts: dict[str, str] = {
        each: framed("spa/frame.md", f"spa/{each}.md") for each in options.prompts
    }
    texts = Samples(name, prompts, options.samples, writer.sampled(options), shows_author=False)
    return Recipe(name, (texts,))


KIND = RecipeKind(SPAOptions, spa)
