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

from collections.abc import Sequence
from dataclasses import dataclass, replace
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


def document_itself(document: Document, answers: Answers) -> Sequence[PromptSubject]:
    """Return the document as the single subject, if it is long enough."""
    return () if too_short(document, LEAST_WORDS) else (PromptSubject(),)


@dataclass(frozen=True)
class _Facts:
    """Subjects that rest on the list of facts."""

    most: int

    def listing(self, document: Document, answers: Answers) -> Sequence[PromptSubject]:
        """Return the subject of the call for the list."""
        found = document_itself(document, answers)
        return tuple(each._replace(values={"facts": str(self.most)}) for each in found)

    def single(self, document: Document, answers: Answers) -> Sequence[PromptSubject]:
        """Return each listed fact as a subject."""
        listed = (items_of(text) for text in answers.get("facts", ()) if text)
        facts = dict.fromkeys(fact for items in listed for fact in items)
        return tuple(PromptSubject((fact,), {"fact": fact}) for fact in list(facts)[: self.most])

    def expected(self, document: Document) -> Range:
        """Expect as many facts as asked for, or fewer."""
        most = 0 if too_short(document, LEAST_WORDS) else self.most
        return Range(min(1, most), most, most)


def _numbered(text: str) -> str:
    items = enumerate(questions_of(text), start=1)
    return "\n\n".join(f"{n}. {written([item])}" for n, item in items)


@dataclass(frozen=True)
class _Judge:
    """Subjects and passages of the judge of the answers of some steps."""

    steps: tuple[str, ...]
    expected_items: tuple[_Facts | int, ...]  # answers per document, by step

    def subjects(self, document: Document, answers: Answers) -> Sequence[PromptSubject]:
        """Return the items of each answer that has any."""
        texts = ((step, text) for step in self.steps for text in answers.get(step, ()))
        numbered = ((step, _numbered(text)) for step, text in texts if text)
        return tuple(PromptSubject((step,), {"items": items}) for step, items in numbered if items)

    def expected(self, document: Document) -> Range:
        """Expect an answer with items from every call of the steps."""
        number = Range.exactly(0)
        if too_short(document, LEAST_WORDS):
            return number
        for each in self.expected_items:
            number += Range.exactly(each) if isinstance(each, int) else each.expected(document)
        return number

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
    about = replace(own.sampling, temperature=options.question_temperature)
    facts = _Facts(options.facts)
    steps: list[Step] = [
        Prompted(
            name, kind, prompt_text(f"summaries/{kind}.md"), own, options.samples, document_itself
        )
        for kind in ("extractive", "detailed")
        if kind in options.kinds
    ]
    direct = not options.judge  # the answers with questions are training text themselves
    if "facts" in options.kinds:
        steps += [
            Prompted(
                name, "facts", prompt_text("summaries/facts.md"), own,
                subjects=facts.listing, counts=False, gives_text=False,
            ),
            Prompted(
                name, "fact_questions", prompt_text("summaries/fact-questions.md"), own,
                subjects=facts.single, needs=("facts",), expected=facts.expected,
                typical=_fact_of_usual_length(), counts=direct, gives_text=direct,
                take=questions_only,
            ),
        ]  # fmt: skip
    if "questions" in options.kinds:
        steps += [
            Prompted(
                name, "questions", prompt_text("summaries/questions.md"), own,
                options.question_samples, document_itself, sampling=about,
                counts=direct, gives_text=direct, take=questions_only,
            )
        ]  # fmt: skip
    return Summaries(name, (*steps, *_judge(name, options, own, facts)))


def _judge(name: str, options: SummaryOptions, writer: Writer, facts: _Facts) -> tuple[Step, ...]:
    """Return the step of the judge, if there is anything to judge."""
    per_step: dict[str, _Facts | int] = {}
    if "facts" in options.kinds:
        per_step["fact_questions"] = facts
    if "questions" in options.kinds:
        per_step["questions"] = options.question_samples
    if not options.judge or not per_step:
        return ()
    judge = _Judge(tuple(per_step), tuple(per_step.values()))
    return (
        Prompted(
            name, "judgements", prompt_text("summaries/judge.md"), writer,
            subjects=judge.subjects, needs=judge.steps, expected=judge.expected,
            typical=PromptSubject(("questions",), {"items": _items_of_usual_length()}),
            sampling=replace(writer.sampling, temperature=JUDGE_TEMPERATURE),
            take=judge.passage, counts=False, translates=False, quotes_prompt=True,
        ),
    )  # fmt: skip


def _fact_of_usual_length() -> PromptSubject:
    fact = "A fact of usual length about some person, some place and what happened there."
    return PromptSubject((fact,), {"fact": fact})


def _items_of_usual_length() -> str:
    item = "Question: What does the document say about this?\nAnswer: A sentence of usual length."
    return "\n\n".join(f"{n}. {item}" for n in range(1, ITEMS_PER_FACT + 1))


KIND = RecipeKind(SummaryOptions, summaries)
