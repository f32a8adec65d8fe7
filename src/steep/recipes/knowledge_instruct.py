"""Knowledge-Instruct (arXiv 2504.05571, appendices A to D): chats that state facts of documents.

The entities of a document and the facts about each entity are asked for in `passes` passes: each
further one asks for what is missing, and a pass without anything new is the last. The facts
of an entity are then made self-contained and merged in one call, and paraphrased `paraphrases`
times. A training text is what one paraphrasing call gave: per fact a question from a template, such
as "What do you know about ...?", and the paraphrase as its answer.

Calls per document with E entities: 1 to `passes` for entities, E to `passes` * E for facts, E to
make them self-contained, and `paraphrases` * E (more where an entity has over `FACTS_PER_CALL`
facts). 30 entities, three passes and five paraphrases are up to 273 calls. The first one is that of
`entigraph`, sampled as `generate` says, and is not paid for twice in a project with both.

Differences from the paper: entities are asked for in at most `passes` passes, where the paper goes
on until none is missing; one call per entity makes facts self-contained and merges those that say
the same, where the paper has calls per fact and one over the document; repetitions across entities
are found in code, by their folded words; code checks that a fact names its entity. Unknown: the
temperature (that of `generate`), and the paper's templates, which are written anew here, in
English, German and Chinese.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from pydantic import Field

from steep.core.calls import Call
from steep.core.ids import derive_seed
from steep.core.ranges import Range
from steep.core.words import fold, is_unspaced, words_of
from steep.documents.document import Document
from steep.documents.language import NAMES
from steep.recipes.entigraph import (
    EntiGraph,
    EntiGraphOptions,
    PreparingEntities,
    Prompts,
)
from steep.recipes.entities import guessed_entities, merged_entities
from steep.recipes.parsing import QuestionAnswer, items_of, written
from steep.recipes.prompt_files import language_demand, prompt_text
from steep.recipes.prompted import Prompted, PromptSubject
from steep.recipes.recipe import Answers, RecipeKind, Rejected, SampledOptions, Step, Writer

FACTS_PER_CALL = 20  # of a paraphrasing call: what an answer of 2,048 tokens has room for
USUAL_FACTS = 5  # of an entity, for a forecast
NO_FACTS = frozenset({"none", "(none)", "keine", "无", "没有"})
STEM_LETTERS = 4  # of a word in an inflected name
TRANSLATED = ("de", "zh")  # languages with own questions; all others get English ones


class KnowledgeInstructOptions(SampledOptions):
    """Chats that state the facts about each entity, after Knowledge-Instruct."""

    paraphrases: int = Field(
        5, ge=1, description="of each fact; paper: 5, with little gain beyond 3"
    )
    passes: int = Field(
        3, ge=1, le=5, description="in which entities and facts are asked for; paper: 3"
    )
    max_entities: int = Field(
        30, ge=2, description="per document; each has up to passes + 1 + paraphrases calls"
    )


@dataclass(frozen=True)
class _Knowledge:
    """What the answers about a document say so far."""

    options: KnowledgeInstructOptions

    @cached_property
    def entity_steps(self) -> tuple[str, ...]:
        """The steps that ask for entities, by pass."""
        return tuple(_of_pass("entities", n) for n in range(1, self.options.passes + 1))

    @cached_property
    def fact_steps(self) -> tuple[str, ...]:
        """The steps that ask for facts, by pass."""
        return tuple(_of_pass("facts", n) for n in range(1, self.options.passes + 1))

    def entities(self, document: Document, answers: Answers, passes: int) -> tuple[str, ...]:
        """Return the valid entities after some passes."""
        texts = [text for step in self.entity_steps[:passes] for text in answers.get(step, ())]
        most = self.options.max_entities
        return merged_entities(tuple(texts), document.text, most).entities

    def missing_entities(
        self, document: Document, answers: Answers, passes: int
    ) -> Sequence[PromptSubject]:
        """Return the subject of the pass after some passes, unless the last one had no new ones."""
        known = self.entities(document, answers, passes)
        is_over = passes > 1 and known == self.entities(document, answers, passes - 1)
        if not known or is_over or len(known) >= self.options.max_entities:
            return ()
        return (PromptSubject((), {"entities": ", ".join(known)}),)

    def facts(
        self, document: Document, answers: Answers, passes: int
    ) -> tuple[dict[str, list[str]], list[str]]:
        """Return the facts by entity after some passes, and the entities to be asked about again.

        These are all before the first pass, then those about which the last one had new facts.
        """
        asked = list(self.entities(document, answers, self.options.passes))
        found: dict[str, dict[tuple[str, ...], str]] = {entity: {} for entity in asked}
        for number, step in enumerate(self.fact_steps[:passes]):
            again = []
            for entity, text in zip(asked, answers.get(step, ()), strict=False):
                before = len(found[entity])
                for fact in items_of(text or "", marked_only=number > 0):
                    if fold(fact).strip(".") not in NO_FACTS:
                        found[entity].setdefault(tuple(words_of(fact)), fact)
                if len(found[entity]) > before:
                    again.append(entity)
            asked = again
        return {entity: list(facts.values()) for entity, facts in found.items()}, asked

    def missing_facts(
        self, document: Document, answers: Answers, passes: int
    ) -> Sequence[PromptSubject]:
        """Return the subjects of the pass after some passes."""
        found, asked = self.facts(document, answers, passes)
        return tuple(_about(entity, found[entity]) for entity in asked)

    def noted(self, document: Document, answers: Answers) -> Sequence[PromptSubject]:
        """Return each entity with all facts about it."""
        found, _ = self.facts(document, answers, self.options.passes)
        return tuple(_about(entity, facts) for entity, facts in found.items() if facts)

    def stated(self, document: Document, answers: Answers) -> Sequence[PromptSubject]:
        """Return each entity with its self-contained facts, none of them twice in a document."""
        seen: set[tuple[str, ...]] = set()
        subjects = []
        found, _ = self.facts(document, answers, self.options.passes)
        noted = [(entity, facts) for entity, facts in found.items() if facts]
        for (entity, facts), text in zip(noted, answers.get("statements", ()), strict=False):
            named = [each for each in items_of(text or "") if is_named(entity, each)]
            kept = []
            for fact in named or [each for each in facts if is_named(entity, each)]:
                words = tuple(words_of(fact))
                if words not in seen:
                    seen.add(words)
                    kept.append(fact)
            groups = range(0, len(kept), FACTS_PER_CALL)
            subjects += [_about(entity, kept[at : at + FACTS_PER_CALL]) for at in groups]
        return tuple(subjects)

    def expected_entities(self, document: Document) -> Range:
        """Expect as many entities as the names suggest; one at least, twice that at most."""
        guess, most = guessed_entities(document.text), self.options.max_entities
        return Range(1, guess, 2 * guess).map(lambda number: min(max(1, round(number)), most))

    def expected_again(self, document: Document) -> Range:
        """Expect that further passes ask about all entities, or about none."""
        return replace(self.expected_entities(document), low=0)


def _of_pass(step: str, number: int) -> str:
    return step if number == 1 else f"{step}_{number}"


def _about(entity: str, facts: Iterable[str]) -> PromptSubject:
    values = {"entity": entity, "facts": "\n".join(f"- {fact}" for fact in facts)}
    return PromptSubject((entity,), values)


def is_named(entity: str, text: str) -> bool:
    """Return whether a sentence names an entity, or the beginning of a word of its name."""
    folded, words = fold(text), words_of(entity)
    if all(map(is_unspaced, words)):
        return fold(entity) in folded
    stems = (word[: max(STEM_LETTERS, len(word) - 2)] for word in words if len(word) > 2)
    return any(stem in folded for stem in stems) or fold(entity) in folded


def chats(call: Call, text: str) -> str | Rejected | None:
    """Return each paraphrase as the answer to a question about its entity."""
    (entity,) = call.subset
    listed = items_of(text, marked_only=True)
    if not listed:
        return Rejected("no-list")
    stated = [each for each in listed if is_named(entity, each)]
    if not stated:
        return Rejected("entity-not-named")
    asked = call.messages[-1].content
    demanded = (each for each in TRANSLATED if asked.endswith(language_demand(NAMES[each])))
    code = next(demanded, "en")
    templates = prompt_text(f"knowledge-instruct/questions-{code}.md").splitlines()
    return written(
        [
            QuestionAnswer(
                templates[derive_seed(call.id, place) % len(templates)].replace("{entity}", entity),
                fact,
            )
            for place, fact in enumerate(stated)
        ]
    )


@dataclass(frozen=True)
class KnowledgeInstruct(EntiGraph):
    """The recipe; `knowledge_instruct()` makes it."""

    knowledge: _Knowledge

    def facts(self, document: Document, answers: Answers) -> dict[str, Any] | None:
        """Return the summary, and the entities of all passes."""
        passes = self.knowledge.options.passes
        found = self.knowledge.entities(document, answers, passes)
        return {**(super().facts(document, answers) or {}), "entities": list(found)}

    def why_nothing(self, document: Document, answers: Answers) -> str:
        """Return whether entities or facts are lacking."""
        if self.knowledge.entities(document, answers, self.knowledge.options.passes):
            return "no answer listed a fact that names its entity"
        return super().why_nothing(document, answers)


def knowledge_instruct(
    name: str, options: KnowledgeInstructOptions, writer: Writer
) -> KnowledgeInstruct:
    """Return the recipe with these options."""
    prompts = Prompts(name, EntiGraphOptions(), writer)
    knowledge, own = _Knowledge(options), writer.sampled(options)
    steps: list[Step] = [PreparingEntities(prompts)]
    usual = _about("Some Entity", ["A fact of usual length that names the entity."] * USUAL_FACTS)

    def add(
        step: str, prompt: str, needs: tuple[str, ...], subjects: Any, expected: Any, usual: Any
    ) -> None:
        steps.append(
            Prompted(
                name, step, prompt_text(f"knowledge-instruct/{prompt}.md"), own,
                subjects=subjects, needs=needs, expected=expected, typical=usual,
                counts=False, gives_text=False,
            )
        )  # fmt: skip

    for number, step in enumerate(knowledge.entity_steps[1:], start=1):
        add(
            step, "more-entities", knowledge.entity_steps[:number],
            lambda document, answers, n=number: knowledge.missing_entities(document, answers, n),
            Range(0, 1, 1), PromptSubject((), {"entities": "Some Entity, Another Entity"}),
        )  # fmt: skip
    for number, step in enumerate(knowledge.fact_steps):
        add(
            step, "more-facts" if number else "facts",
            (*knowledge.entity_steps, *knowledge.fact_steps[:number]),
            lambda document, answers, n=number: knowledge.missing_facts(document, answers, n),
            knowledge.expected_again if number else knowledge.expected_entities, usual,
        )  # fmt: skip
    known = (*knowledge.entity_steps, *knowledge.fact_steps)
    add("statements", "statements", known, knowledge.noted, knowledge.expected_entities, usual)
    steps.append(
        Prompted(
            name, "paraphrases", prompt_text("knowledge-instruct/paraphrases.md"), own,
            options.paraphrases, knowledge.stated, (*known, "statements"),
            knowledge.expected_entities, usual, take=chats,
        )
    )  # fmt: skip
    return KnowledgeInstruct(name, tuple(steps), prompts, knowledge)


KIND = RecipeKind(KnowledgeInstructOptions, knowledge_instruct)
