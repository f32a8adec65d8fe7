"""EntiGraph (Yang et al., ICLR 2025, section 2.2): texts about pairs and triplets of entities.

Step `entities` asks for a summary and a list of entities. Steps `pairs` and `triplets` name two or
three of them per call, and ask for the content of the document in relation to each and for their
interaction. Pairs and triplets are drawn from seeded permutations by index, or the most central
entities come first (`order: coreness`); the list of all pairs or triplets never exists.

With `questions`, the recipe is that of the paper's first version (arXiv v1): a step `questions`
asks for questions with answers about each entity, and texts on pairs and triplets end with
questions about all their entities. The second version, the default, has no questions.

Differences from the authors' code, on purpose: entities are deduplicated, must occur in the
document, and are at most `MOST_ENTITIES`; documents that are not in English are answered in their
own language; an attempt that yields too few entities is followed by another, up to a limit; the
number of triplets is explicit.

The prompts were written for Steep to meet the paper's demands (appendix H.1). Style `full` asks for
all that the paper asks; style `compact` says the same in few words, for generators under a billion
parameters. With order `document_first`, all calls about a document share one prefix, which an
endpoint reads once and caches; order `paper` has the task as the system message, as the authors'
code. Golden files in the tests pin every rendered prompt: a changed word is a changed corpus.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import Field, NonNegativeInt, model_validator

from steep.core.calls import Call, Message
from steep.core.formatting import some_of
from steep.core.ids import derive_seed
from steep.core.permutation import Permutation
from steep.core.ranges import Range
from steep.documents.document import Document
from steep.documents.names import proper_names
from steep.documents.sentences import trim_to_sentence
from steep.recipes.coreness import by_coreness
from steep.recipes.entities import (
    MOST_ENTITIES,
    EntityList,
    entity_schema,
    guessed_entities,
    merged_entities,
    parse_entities,
)
from steep.recipes.prompt_files import prompt_text
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
from steep.recipes.subsets import combination, low_members_first
from steep.recipes.two_in_turn import TwoInTurn

COMPACT_SUMMARY = 300  # characters
LIST_PENALTY = 0.5  # without it a small generator lists one name twelve times
SHOWN_NAMES = 5
STEP_OF_SIZE = {1: "questions", 2: "pairs", 3: "triplets"}
MIXED = "relations"

Style = Literal["full", "compact"]
Order = Literal["document_first", "paper"]
SubsetOrder = Literal["seeded", "coreness"]


class EntiGraphOptions(RecipeOptions):
    """Texts about pairs and triplets of the entities of each document."""

    pairs: NonNegativeInt | Literal["all"] = Field("all", description="per document; paper: all")
    triplets: NonNegativeInt | Literal["all"] = Field(
        0, description="per document; the paper's code has no cap, so choose one"
    )
    prompt: Style = Field(
        "full", description="full: the paper's demands; compact: short, for generators under 1B"
    )
    prompt_order: Order = Field(
        "document_first",
        description="paper: the task before the document, so that steps share no cached prefix",
    )
    entity_attempts: int = Field(3, ge=1, description="attempts to get a valid entity list")
    min_entities: int = Field(2, ge=2, description="fewer valid entities lead to another attempt")
    max_entities: int | None = Field(
        None, ge=2, description=f"use only the first ones; null: {MOST_ENTITIES}"
    )
    summary: bool = Field(True, description="train on the summaries; paper: true")
    mix: bool = Field(
        False, description="pairs and triplets take turns, in one step; paper: pairs first"
    )
    order: SubsetOrder = Field(
        "seeded",
        description="coreness: first those of the entities that share most sentences (CosyCPT)",
    )
    questions: bool = Field(
        False, description="also questions on each entity and subset (paper, arXiv v1); full only"
    )

    @model_validator(mode="after")
    def _has_prompts_for_questions(self) -> EntiGraphOptions:
        if self.questions and self.prompt != "full":
            raise ValueError("questions: true needs prompt: full")
        return self


@dataclass(frozen=True)
class Prompts:
    """Builds the calls of one recipe: its options, its generator, its texts."""

    recipe: str
    options: EntiGraphOptions
    writer: Writer

    def calls_of(self, document: Document, task: str, step: str = "") -> _CallBuilder:
        """Return what builds the calls of a task about a document; the step is named so, too."""
        return _CallBuilder(self, document, task, step or task)

    def entities(self, document: Document, answers: Answers) -> EntityList:
        """Return the summary and the valid entities of a document."""
        return merged_entities(
            tuple(answers.get("entities", ())), document.text, self.options.max_entities
        )

    def task(self, step: str, language: str | None) -> str:
        """Return the task of a step; empty where `ending` has it."""
        style, paper = self.options.prompt, self.options.prompt_order == "paper"
        if style == "full":
            task = prompt_text(f"entigraph/full/{step}.md")
            if self.options.questions and step in ("pairs", "triplets"):
                task += "\n\n" + prompt_text("entigraph/full/joint-questions.md")
        elif paper:
            name = "entities" if step == "entities" else "relation"
            task = prompt_text(f"entigraph/compact/{name}-paper.md")
        else:
            return ""
        return task + self._in_language(step, language)

    def ending(self, subset: tuple[str, ...]) -> str:
        """Return the end of the prompt: the only part that differs within a document and step."""
        listed = _listed(subset) if subset else ""
        if self.options.prompt == "full":
            bullets = "\n".join(f"- {name}" for name in subset)
            return prompt_text("entigraph/full/ask.md").format(bullets=bullets) if subset else ""
        if self.options.prompt_order == "paper":
            return f"Names: {listed}" if subset else ""
        name = "relation" if subset else "entities"
        return prompt_text(f"entigraph/compact/{name}.md").format(names=listed)

    def _in_language(self, step: str, language: str | None) -> str:
        if language is None:
            return ""
        if self.options.prompt == "compact":
            return f" Write in {language}."
        demand = f"\n\nThe document is in {language}. Write the whole answer in {language}"
        if step == "entities":
            return f"{demand}, and each entity as the document spells it. Keep the two keys."
        return f"{demand}, the headings too."


class _CallBuilder:
    """Builds the calls of one step about one document; what they share is made once."""

    def __init__(self, prompts: Prompts, document: Document, task_name: str, step: str) -> None:
        self._prompts = prompts
        self._document = document
        self._step = step
        options = prompts.options
        language = foreign_language(document)
        style = f"entigraph/{options.prompt}"
        shown = prompt_text(f"{style}/document.md").format(
            heading=document.heading, title=document.full_title, text=document.text
        )
        task = prompts.task(task_name, language)
        if options.prompt_order == "paper":
            self._before: tuple[Message, ...] = (Message("system", (task,)),)
            self._parts: tuple[str, ...] = (shown,)
        else:
            self._before = (Message("system", (prompt_text(f"{style}/system.md"),)),)
            self._parts = (shown, f"\n### Task\n{task}\n") if task else (shown,)
        self._language = "" if task or language is None else f" Write in {language}."
        sampling = prompts.writer.sampling
        if task_name == "entities":
            lists_names = LIST_PENALTY if options.prompt == "compact" else 0.0
            sampling = replace(
                sampling,
                frequency_penalty=max(sampling.frequency_penalty, lists_names),
                json_schema=self._schema(),
            )
        self._sampling = sampling

    def call(self, subset: tuple[str, ...], sample: int = 0) -> Call:
        """Return the call about a subset of the entities."""
        ending = self._prompts.ending(subset) + self._language
        prompts, messages = self._prompts, (*self._before, Message("user", (*self._parts, ending)))
        return ask(
            prompts.recipe, self._step, self._document, prompts.writer, messages,
            subset=subset, sample=sample, sampling=self._sampling,
        )  # fmt: skip

    def _schema(self) -> str:
        most = self._prompts.options.max_entities
        if self._prompts.options.prompt == "full":
            return entity_schema(most)
        return entity_schema(most, COMPACT_SUMMARY, proper_names(self._document.text))


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:-1]) + " and " + names[-1]


@dataclass(frozen=True)
class Entities(Step):
    """Attempts to get a summary and enough valid entities."""

    prompts: Prompts
    name: str = "entities"
    one_by_one = True
    counts = False

    def calls(self, document: Document, answers: Answers) -> CallSequence:
        """Return the attempts; they differ in the number of the sample."""
        builder = self.prompts.calls_of(document, self.name)
        options = self.prompts.options
        return Repeated(lambda rank: builder.call((), rank), options.entity_attempts)

    def is_enough(self, document: Document, texts: Sequence[str | None]) -> bool:
        """Return whether the attempts so far name enough valid entities."""
        found = self.prompts.entities(document, {self.name: texts})
        return len(found.entities) >= self.prompts.options.min_entities

    def expected_calls(self, document: Document) -> Range:
        """Expect one attempt."""
        return Range(1, 1, self.prompts.options.entity_attempts)

    def specimen(self, document: Document) -> Call:
        """Return the first attempt."""
        return self.prompts.calls_of(document, self.name).call(())

    @property
    def gives_text(self) -> bool:  # type: ignore[override]
        """Whether the summaries are training text."""
        return self.prompts.options.summary

    def passage(self, call: Call, text: str) -> str | None:
        """Return the summary: the paper trains on it, too."""
        summary = parse_entities(text).summary
        # A summary that its limit of characters cut off is closed as JSON all the same.
        return trim_to_sentence(summary) or summary or None


class PreparingEntities(Entities):
    """The same calls as those of EntiGraph, for a recipe that only needs the list."""

    gives_text = False


@dataclass(frozen=True)
class Relations(Step):
    """Texts about subsets of the entities of one size, at most `cap` per document."""

    prompts: Prompts
    size: int
    cap: int | Literal["all"]
    step: str = ""  # that the calls belong to, if it has several sizes
    needs = ("entities",)

    @property
    def name(self) -> str:  # type: ignore[override]
        """The step's name."""
        return self.step or STEP_OF_SIZE[self.size]

    def calls(self, document: Document, answers: Answers) -> CallSequence:
        """Return the calls about all subsets, in the order that the options ask for."""
        return self.about(document, self.prompts.entities(document, answers).entities)

    def about(self, document: Document, entities: tuple[str, ...]) -> Repeated:
        """Return the calls about subsets of these entities."""
        builder = self._builder(document)
        subset, basis = self._order(document, entities)

        def make(rank: int) -> Call:
            return builder.call(tuple(entities[place] for place in subset(rank)))

        return Repeated(make, self.number_among(len(entities)), [entities, basis])

    def _order(
        self, document: Document, entities: tuple[str, ...]
    ) -> tuple[Callable[[int], Sequence[int]], int | str]:
        """Return the subset of each rank, as places of entities, and what decides about it."""
        number, size = len(entities), self.size
        if self.prompts.options.order == "coreness":
            central = by_coreness(entities, document.text)

            def core(rank: int) -> Sequence[int]:
                return sorted(central[each] for each in low_members_first(number, size, rank))

            return core, "coreness"
        seed = derive_seed(self.prompts.writer.seed, document.id, size)
        order = Permutation(math.comb(number, size), seed)
        return lambda rank: combination(number, size, order[rank]), seed

    def _builder(self, document: Document) -> _CallBuilder:
        return self.prompts.calls_of(document, STEP_OF_SIZE[self.size], self.name)

    def number_among(self, entities: int) -> int:
        """Return how many calls follow from so many entities."""
        possible = math.comb(entities, self.size)
        return possible if self.cap == "all" else min(self.cap, possible)

    def expected_calls(self, document: Document) -> Range:
        """Expect as many entities as the names in the document suggest, or half, or twice that."""
        if self.cap == 0:
            return Range.exactly(0)
        options, guess = self.prompts.options, guessed_entities(document.text)
        most = options.max_entities or MOST_ENTITIES
        low, expected, high = (
            max(options.min_entities, min(round(guess * factor), most)) for factor in (0.5, 1, 2)
        )
        return Range(*(self.number_among(number) for number in (low, expected, high)))

    def specimen(self, document: Document) -> Call:
        """Return a call about names of usual length."""
        names = tuple(f"Some Entity {i}" for i in range(self.size))
        return self._builder(document).call(names)


@dataclass(frozen=True)
class EntiGraph(Recipe):
    """The recipe; `entigraph()` makes it."""

    prompts: Prompts

    def facts(self, document: Document, answers: Answers) -> dict[str, Any] | None:
        """Return summary and entities."""
        found = self.prompts.entities(document, answers)
        return {"summary": found.summary, "entities": list(found.entities)}

    def why_nothing(self, document: Document, answers: Answers) -> str:
        """Return how many names were listed, and which of them the document does not contain."""
        texts = [text for text in answers.get("entities", ()) if text]
        named = [name for text in texts for name in parse_entities(text).entities]
        if not named:
            return "no answer named an entity"
        names = list(dict.fromkeys(named))
        found = self.prompts.entities(document, answers).entities
        strange = [name for name in names if name not in found]
        kept = f"{len(found)} of {len(names)} names were accepted"
        return f"{kept}; not in the document: {some_of(strange, SHOWN_NAMES)}"

    @property
    def expected_answer(self) -> str:
        """The form of an answer of the first step."""
        return (
            'JSON like {"summary": "...", "entities": ["...", "..."]}, with names that stand in '
            "the document"
        )


def entigraph(name: str, options: EntiGraphOptions, writer: Writer) -> EntiGraph:
    """Return the recipe with these options."""
    prompts = Prompts(name, options, writer)
    steps: list[Step] = [Entities(prompts)]
    if options.questions:
        steps.append(Relations(prompts, 1, "all"))
    step = MIXED if options.mix else ""
    pairs = Relations(prompts, 2, options.pairs, step)
    triplets = Relations(prompts, 3, options.triplets, step)
    steps += [TwoInTurn(MIXED, pairs, triplets)] if options.mix else [pairs, triplets]
    return EntiGraph(name, tuple(steps), prompts)


KIND = RecipeKind(EntiGraphOptions, entigraph)
