"""The results of contamination: questions found in synthetic texts and prompts, and clean scores.

A question is contaminated by a measure if a synthetic text has a phrase of it (or a question like
it) that the source documents do not have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from steep.evaluation.results import Estimate, MethodResult

PARAPHRASE = "paraphrase"


@dataclass(frozen=True, slots=True)
class Overlap:
    """What a question has in common with the texts of a recipe (or the raw documents).

    Attributes:
        measure: "8 words", "13 words" or "paraphrase".
        passages: The number of passages (of a paraphrase: of questions in them) with something of
            the question that the source documents do not have.
        quoting: The number of those that have only what the source documents have, too.
        passage_id: The passage that has most of it.
        words: Of the longest run of equal words; 0 for a paraphrase.
        similarity: The cosine of a paraphrase; None for equal words.
        excerpt: That part of the passage.
    """

    question_id: str
    measure: str
    recipe: str
    passages: int
    quoting: int
    passage_id: str
    words: int
    similarity: float | None
    excerpt: str


@dataclass(frozen=True, slots=True)
class PromptOverlap:
    """What a question has in common with the prompts of a recipe, and the source has not."""

    question_id: str
    measure: str
    recipe: str
    calls: int
    call_id: str
    excerpt: str


@dataclass(frozen=True, kw_only=True)
class MeasureCounts:
    """The questions that one measure finds.

    Attributes:
        contaminated: The number of questions with something that the source does not have.
        quoted: The number of other questions in synthetic texts, all of it also in the source.
        in_source: The number of questions that the source documents have something of.
        by_recipe: The number of contaminated questions by the recipe of the texts.
    """

    measure: str
    contaminated: int
    quoted: int
    in_source: int
    by_recipe: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class CleanScore:
    """The mean grade of a model on all questions, and on those that a measure did not find."""

    method: str
    metric: str
    model: str
    everything: Estimate
    clean: Mapping[str, Estimate]  # by measure


@dataclass(frozen=True, kw_only=True)
class PromptCheck:
    """The check of the prompts in the ledger.

    Attributes:
        calls: The number of calls by recipe; all of their messages were searched.
        imported: The number of imported texts, whose prompts are unknown.
        found: Questions in prompts, by recipe and measure.
        by_design: The recipes whose prompts have questions on purpose, as configured.
    """

    calls: Mapping[str, int]
    imported: int
    found: tuple[PromptOverlap, ...]
    by_design: tuple[str, ...]

    @property
    def unintended(self) -> tuple[PromptOverlap, ...]:
        """The questions in prompts of other recipes."""
        return tuple(each for each in self.found if each.recipe not in self.by_design)


@dataclass(frozen=True, kw_only=True)
class ContaminationResult(MethodResult):
    """Questions in the synthetic texts and in their prompts, and the scores without them.

    Attributes:
        passages: The number of synthetic passages that were searched.
        sentences: The number of questions in these passages; 0 if they were not compared.
        compared: The number of those that were embedded and compared.
        embedder: The name of the embedder; None if no question was embedded.
        similarity: The cosine from which a question counts as a paraphrase.
        read_by: The models that read the texts of each recipe.
        found: The strongest overlap of each contaminated question.
    """

    questions: int
    passages: int
    sentences: int
    compared: int
    embedder: str | None
    similarity: float | None
    read_by: Mapping[str, tuple[str, ...]]
    measures: tuple[MeasureCounts, ...]
    found: tuple[Overlap, ...]
    prompts: PromptCheck
    scores: tuple[CleanScore, ...]
