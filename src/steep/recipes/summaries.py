"""Enhanced summaries (sdg_hub, examples/knowledge_tuning/enhanced_summary_knowledge_tuning).

Per document: `samples` *extractive* summaries (passages with context, importance and connections),
`samples` *detailed* summaries in other words, atomic key *facts* with five questions each (one call
for the list, one per fact), and `question_samples` calls for *questions* about the whole document.
Summaries are sampled at temperature 0.7 and questions at 1.0, as published; the temperature of the
facts is not, and is that of the summaries.

A judge reads the questions and answers with the document, and drops each item that is not faithful.
It decides per item but reads all items of an answer in one call: the published one has a call per
item, which sends the document five times as often or more. It also judges the questions about
facts, which the publication does not. Its temperature is 0 (the published one is unknown). With a
judge, the texts of questions are known once all are judged, so a limit of `target_tokens` counts
the summaries alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from pydantic import Field

from steep.core.calls import Call
from steep.core.ranges import Range
from steep.documents.document import Document
from steep.recipes.lengths import too_short
from steep.recipes.parsing import items_of, questions_of, verdicts_of, written
from steep.recipes.prompt_files import prompt_text
from steep.recipes.prompted import Prompted, PromptSubject, questions_only
from steep.recipes.recipe import (
    Answers,
    Recipe,
    RecipeKind,
    Rejected,
    SampledOptions,
    Step,
    Writer,
)

LEAST_WORDS = 30  # of a document: below, a summary is no shorter
ITEMS_PER_FACT = 5  # questions, as published
JUDGE_TEMPERATURE = 0.0

Kind = Literal["extractive", "detailed", "facts", "questions"]
KINDS: tuple[Kind, ...] = ("extractive", "detailed", "facts", "questions")


class SummaryOptions(SampledOptions):
    """Summaries and judged questions about each document, after sdg_hub."""

    kinds: tuple[Kind, ...] = Field(
        KINDS,
        min_length=1,
        description="extractive, detailed: summaries; facts: five questions per atomic fact; "
        "questions: about the whole",
    )
    samples: int = Field(
        25, ge=1, description="summaries of each kind per document; sdg_hub: 25 to 50"
    )
    facts: int = Field(
        20, ge=1, description="atomic facts per document at most, with a call for each"
    )
    question_samples: int = Field(
        3, ge=1, description="answers with questions about the whole document"
    )
    judge: bool = Field(
        True, description="drop questions whose answers are not faithful; a call per answer"
    )
    temperature: float | None = Field(
        0.7, ge=0, le=2, description="of summaries and facts; sdg_hub: 0.7"
    )
    question_temperature: float = Field(
        1.0, ge=0, le=2, description="of questions about the whole; sdg_hub: 1.0"
    )


@dataclass(frozen=True)
class Summaries(Recipe):
    """The recipe; `summaries()` makes it."""

    def unsuitable(self, document: Document) -> str | None:
        """Return why a document is too short to be summarized."""
        return too_short(document, LEAST_WORDS)


@dataclass(frozen=True)
class _Facts:
    """Subjects that rest on the list of facts."""

    most: int

    def single(self, document: Document, answers: Answers) -> Sequence[PromptSubject]:
        """Return each listed fact as a subject."""
        listed = (items_of(text) for text in answers.get("facts", ()) if text)
        facts = dict.fromkeys(fact for items in listed for fact in items)
        return tuple(PromptSubject((fact,), {"fact": fact}) for fact in list(facts)[: self.most])


def _numbered(text: str) -> str:
    items = enumerate(questions_of(text), start=1)
    return "\n\n".join(f"{n}. {written([item])}" for n, item in items)


@dataclass(frozen=True)
class _Judge:
    """Subjects and passages of the judge of the answers of some steps."""

    steps: tuple[str, ...]

    def subjects(self, document: Document, answers: Answers) -> Sequence[PromptSubject]:
        """Return the items of each answer that has any; the same items are judged once."""
        texts = ((step, text) for step in self.steps for text in answers.get(step, ()))
        numbered = dict.fromkeys((step, _numbered(text)) for step, text in texts if text)
        return tuple(PromptSubject((step,), {"items": items}) for step, items in numbered if items)

    @staticmethod
    def passage(call: Call, text: str) -> str | Rejected | None:
        """Return the items with the verdict yes; one without a verdict is dropped, too."""
        items = questions_of(call.messages[-1].parts[-1])
        verdicts = verdicts_of(text, len(items))
        if not verdicts:
            return Rejected("unreadable-verdict")
        kept = [item for number, item in enumerate(items, start=1) if verdicts.get(number)]
        return written(kept) if kept else Rejected("unfaithful")


def summaries(name: str, options: SummaryOptions, writer: Writer) -> Summaries:
    """Return the recipe with these options."""
    own = writer.sampled(options)
    step = partial(Prompted, name, writer=own, least_words=LEAST_WORDS)
    direct = not options.judge  # the answers with questions are training text themselves
    asks = partial(step, counts=direct, gives_text=direct, take=questions_only)
    steps: list[Step] = [
        step(name=kind, prompt=prompt_text(f"summaries/{kind}.md"), samples=options.samples)
        for kind in ("extractive", "detailed")
        if kind in options.kinds
    ]
    judged: dict[str, Range] = {}  # answers per document, by step
    if "facts" in options.kinds:
        judged["fact_questions"] = Range(1, options.facts, options.facts)
        listing = prompt_text("summaries/facts.md").replace("{facts}", str(options.facts))
        steps += [
            step(name="facts", prompt=listing, counts=False, gives_text=False),
            asks(
                name="fact_questions", prompt=prompt_text("summaries/fact-questions.md"),
                subjects=_Facts(options.facts).single, needs=("facts",),
                expected=judged["fact_questions"], typical=_fact_of_usual_length(),
            ),
        ]  # fmt: skip
    if "questions" in options.kinds:
        judged["questions"] = Range.exactly(options.question_samples)
        about = replace(own.sampling, temperature=options.question_temperature)
        prompt = prompt_text("summaries/questions.md")
        steps.append(
            asks(name="questions", prompt=prompt, samples=options.question_samples, sampling=about)
        )
    if options.judge and judged:
        steps.append(_judge(step, own, judged))
    return Summaries(name, tuple(steps))


def _judge(step: Callable[..., Prompted], writer: Writer, judged: Mapping[str, Range]) -> Prompted:
    """Return the step that judges the answers of these steps, of so many per document."""
    judge = _Judge(tuple(judged))
    return step(
        name="judgements", prompt=prompt_text("summaries/judge.md"),
        subjects=judge.subjects, needs=judge.steps,
        expected=sum(judged.values(), Range.exactly(0)),
        typical=PromptSubject(("questions",), {"items": _items_of_usual_length()}),
        sampling=replace(writer.sampling, temperature=JUDGE_TEMPERATURE),
        take=judge.passage, counts=False, translates=False, quotes_prompt=True,
    )  # fmt: skip


def _fact_of_usual_length() -> PromptSubject:
    fact = "A fact of usual length about some person, some place and what happened there."
    return PromptSubject((fact,), {"fact": fact})


def _items_of_usual_length() -> str:
    item = "Question: What does the document say about this?\nAnswer: A sentence of usual length."
    return "\n\n".join(f"{n}. {item}" for n in range(1, ITEMS_PER_FACT + 1))


KIND = RecipeKind(SummaryOptions, summaries)
