"""Active Reading (Lin et al., ICLR 2026, arXiv 2508.09494): strategies first, then a text for each.

Step `strategies` asks for ways to learn this very document, each under a heading of the second
level. *Agnostic* of the task: strategies that suit the document. *Aware* of it: imagine a trivia
contest about the document, list its questions, and give a general strategy per kind of question.
Step `texts` applies one strategy to the document per call. The prompts were written for Steep to
meet the publication's demands (appendix D).

The publication does not give its sampling, the number of strategies, repetitions, or the length of
its chunks. Temperature 0.7, top-p 0.95 and 4,096 tokens are those of SMT's rerun (arXiv 2603.23562,
appendix B), adopted here. The number of strategies is asked for in the prompt, so that a plan knows
it. Documents are read whole; `documents.split_tokens` splits long ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from pydantic import Field

from steep.core.formatting import plural
from steep.core.ranges import Range
from steep.documents.document import Document
from steep.recipes.lengths import too_short
from steep.recipes.parsing import sections_of
from steep.recipes.prompt_files import framed, prompt_text
from steep.recipes.prompted import Prompted, PromptSubject
from steep.recipes.recipe import Answers, Recipe, RecipeKind, SampledOptions, Writer

LEAST_WORDS = 20  # of a document; about less there is no strategy to find
SHOWN_CHARACTERS = 100  # of an answer without a strategy
QUESTION_MARKS = ("?", "\uff1f", "\u061f")  # Latin, full-width, Arabic
FRAME = "active-reading/frame.md"
HEADINGS = 'strategies under headings of the second level, such as "## Build a timeline"'
TYPICAL = "A strategy of the usual length\n" + "It says what to write down about the document. " * 6

List = Literal["agnostic", "aware"]
LISTS: dict[str, tuple[List, ...]] = {
    "agnostic": ("agnostic",),
    "aware": ("aware",),
    "both": ("agnostic", "aware"),
}


class StrategyOptions(SampledOptions):
    """Sampling of SMT's rerun of Active Reading."""

    temperature: float | None = Field(0.7, ge=0, le=2, description="SMT: 0.7")
    top_p: float | None = Field(0.95, gt=0, le=1, description="SMT: 0.95")
    max_tokens: int | None = Field(4096, ge=16, description="of one completion; SMT: 4096")


class ActiveReadingOptions(StrategyOptions):
    """Strategies to learn each document, then texts that apply them."""

    strategies: Literal["agnostic", "aware", "both"] = Field(
        "agnostic", description="of the task, which is a trivia contest; both: one list of each"
    )
    most: int = Field(10, ge=1, description="strategies per document and list; unpublished")
    samples: int = Field(1, ge=1, description="texts per strategy; unpublished")


def strategies_in(texts: Iterable[str | None], most: int) -> dict[str, str]:
    """Return the strategies in some answers by name, at most so many of each; answers take turns.

    A section of questions alone is no strategy.
    """
    lists = []
    for text in texts:
        found = sections_of(text or "").items()
        own = [(name, f"{name}\n{body}".strip()) for name, body in found if not _asks(body)]
        lists.append(own[:most])
    in_turn = itertools.chain.from_iterable(itertools.zip_longest(*lists))
    kept: dict[str, tuple[str, str]] = {}
    for name, strategy in filter(None, in_turn):
        kept.setdefault(name.casefold(), (name, strategy))
    return dict(kept.values())


def _asks(body: str) -> bool:
    lines = [line for line in body.splitlines() if line.strip()]
    return bool(lines) and all(line.rstrip(" *_").endswith(QUESTION_MARKS) for line in lines)


def expected_strategies(most: int) -> Range:
    """Return how many strategies to expect where so many are asked for."""
    return Range(max(1, most / 2), most, most)


def what_came(texts: Sequence[str | None], wanted: str) -> str:
    """Return that no answer has what was wanted, and how the first of them begins."""
    given = [" ".join(text.split()) for text in texts if text and text.strip()]
    if not given:
        return f"no answer has a text, and thus no {wanted}"
    begins = given[0][:SHOWN_CHARACTERS]
    return f"{wanted}: none in {plural(len(given), 'answer')}; the first begins '{begins}'"


@dataclass(frozen=True)
class ActiveReading(Recipe):
    """The recipe; `active_reading()` makes it."""

    def unsuitable(self, document: Document) -> str | None:
        """Return that a document is too short, or None."""
        return too_short(document, LEAST_WORDS)

    def why_nothing(self, document: Document, answers: Answers) -> str:
        """Return how an answer without any strategy begins."""
        return what_came(answers.get("strategies", ()), HEADINGS)

    @property
    def expected_answer(self) -> str:
        """The form of an answer of the first step."""
        return HEADINGS


def active_reading(name: str, options: ActiveReadingOptions, writer: Writer) -> Recipe:
    """Return the recipe with these options."""
    step = partial(Prompted, name, writer=writer.sampled(options), least_words=LEAST_WORDS)
    tasks = {
        each: prompt_text(f"active-reading/{each}.md").replace("{most}", str(options.most))
        for each in LISTS[options.strategies]
    }

    def to_apply(document: Document, answers: Answers) -> list[PromptSubject]:
        found = strategies_in(answers.get("strategies", ()), options.most)
        return [PromptSubject((each,), {"strategy": text}) for each, text in found.items()]

    strategies = step(
        name="strategies",
        prompt=prompt_text(FRAME),
        subjects=lambda document, answers: [
            PromptSubject((each,), {"task": task}) for each, task in tasks.items()
        ],
        counts=False,
        gives_text=False,
    )
    texts = step(
        name="texts",
        prompt=framed(FRAME, "active-reading/text.md"),
        samples=options.samples,
        subjects=to_apply,
        needs=("strategies",),
        expected=expected_strategies(options.most).times(len(tasks)),
        typical=PromptSubject(("name",), {"strategy": TYPICAL}),
    )
    return ActiveReading(name, (strategies, texts))


KIND = RecipeKind(ActiveReadingOptions, active_reading)
