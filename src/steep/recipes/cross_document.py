"""Texts about documents that share rare entities (WRAP++, Synthesize-on-Graph), without hyperlinks.

Step `entities` is that of EntiGraph: the same calls, paid for once in a project with both. Then
each document is linked to its `partners` best partners: those that share its rarest entities. The
document is shown whole, the partner as an excerpt around the shared names. Kind `qa` asks for
questions that need both documents (arXiv 2604.06829), `text` for a text about both, and `walk` for
a causal story along a chain of three documents, with a question and a stepwise answer at its end
(Synthesize-on-Graph, generator *chain*). A pair may be written about from both sides: each time
another document is shown whole.

Differences from the publications: WRAP++ pairs pages by hyperlinks, here shared entities link
documents, which is an assumption of ours; Synthesize-on-Graph walks over paragraphs and embeddings.
Unknown: the sampling, so that of `generate` is used.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field

from steep.core.calls import Call
from steep.core.ranges import Range
from steep.documents.document import Document
from steep.recipes.entigraph import EntiGraph, EntiGraphOptions, PreparingEntities, Prompts
from steep.recipes.parsing import questions_of
from steep.recipes.partners import MOST_LISTING, Partner, excerpt, keys_of, partners_of
from steep.recipes.prompt_files import prompt_text
from steep.recipes.prompted import Passages, Prompted, PromptSubject, questions_only, whole_answer
from steep.recipes.recipe import Answers, RecipeKind, Rejected, SampledOptions, Step, Writer

Kind = Literal["qa", "text", "walk"]
SPARE_PARTNERS = 4  # of a document in the middle of a walk, which must not lead back
STEP_OF_KIND: dict[Kind, str] = {"qa": "questions", "text": "texts", "walk": "walks"}


class CrossDocumentOptions(SampledOptions):
    """Texts about documents that share rare entities."""

    kinds: tuple[Kind, ...] = Field(
        ("qa",),
        min_length=1,
        description="qa: questions that need both; text: a text about both; walk: a story through "
        "three documents",
    )
    partners: int = Field(
        3, ge=1, description="of each document, the best ones; a call of each kind for each"
    )
    samples: int = Field(1, ge=1, description="texts per kind and partner")
    rare_share: float = Field(
        0.2,
        gt=0,
        le=1,
        description="share of documents that may list an entity which links them; "
        f"{MOST_LISTING} documents at most",
    )
    partner_words: int = Field(
        600, ge=50, description="of a partner around the shared names; a shorter one is whole"
    )


@dataclass(frozen=True)
class _Links:
    """The partners of all documents, the best one first and some more than are asked for."""

    options: CrossDocumentOptions
    documents: Mapping[str, Document]
    partners: Mapping[str, tuple[Partner, ...]]

    def pairs(self, document: Document, answers: Answers) -> Sequence[PromptSubject]:
        """Return the partners of a document as subjects."""
        return tuple(
            PromptSubject(
                (each.document_id,),
                {"shared": ", ".join(each.shared), "partner": self._shown(each)},
            )
            for each in self.partners[document.id][: self.options.partners]
        )

    def walks(self, document: Document, answers: Answers) -> Sequence[PromptSubject]:
        """Return a chain over each partner to the best partner of that one."""
        found = []
        for second in self.partners[document.id][: self.options.partners]:
            others = self.partners[second.document_id]
            own = (each for each in others if self._leads_on(each, document))
            if (third := next(own, None)) is not None:
                titles = [self.documents[each.document_id].full_title for each in (second, third)]
                chain = (
                    f'From "{document.full_title}" to "{titles[0]}": {", ".join(second.shared)}\n'
                    f'From "{titles[0]}" to "{titles[1]}": {", ".join(third.shared)}'
                )
                values = {"second": self._shown(second), "third": self._shown(third)}
                ids = f"{second.document_id}, {third.document_id}"
                found.append(PromptSubject((ids,), {"chain": chain, **values}))
        return tuple(found)

    def _leads_on(self, partner: Partner, start: Document) -> bool:
        return self.documents[partner.document_id].whole_id != start.whole_id

    def _shown(self, partner: Partner) -> str:
        other = self.documents[partner.document_id]
        return f"{other.heading}\n{excerpt(other.text, partner.shared, self.options.partner_words)}"


@dataclass(frozen=True)
class CrossDocument(EntiGraph):
    """The recipe; `cross_document()` makes it."""

    links_documents: ClassVar[bool] = True
    options: CrossDocumentOptions

    def linked(
        self, documents: Sequence[Document], answers: Mapping[str, Answers]
    ) -> CrossDocument:
        """Return the recipe with the partners of each document."""
        listed = {
            each.id: keys_of(each, self.prompts.entities(each, answers[each.id]).entities)
            for each in documents
        }
        options, seed = self.options, self.prompts.writer.seed
        most = options.partners + SPARE_PARTNERS
        partners = partners_of(documents, listed, options.rare_share, most, seed)
        links = _Links(options, {each.id: each for each in documents}, partners)
        entities, *steps = self.steps
        knowing = [
            dataclasses.replace(step, subjects=links.walks if step.name == "walks" else links.pairs)
            for step in steps
            if isinstance(step, Prompted)
        ]
        return dataclasses.replace(self, steps=(entities, *knowing))

    def why_nothing(self, document: Document, answers: Answers) -> str:
        """Return whether entities are lacking, or other documents that share them."""
        if self.prompts.entities(document, answers).entities:
            return "no other document shares a rare entity with it"
        return super().why_nothing(document, answers)


def with_a_question(call: Call, text: str) -> str | Rejected | None:
    """Return a text that ends with a question and its answer."""
    return text if questions_of(text) else Rejected("no-question")


TAKEN: dict[Kind, Passages] = {
    "qa": questions_only, "text": whole_answer, "walk": with_a_question,
}  # fmt: skip


def cross_document(name: str, options: CrossDocumentOptions, writer: Writer) -> CrossDocument:
    """Return the recipe with these options."""
    prompts = Prompts(name, EntiGraphOptions(), writer)
    own = writer.sampled(options)
    steps: list[Step] = [PreparingEntities(prompts)]
    for kind in dict.fromkeys(options.kinds):
        steps.append(
            Prompted(
                name, STEP_OF_KIND[kind], prompt_text(f"cross-document/{kind}.md"), own,
                options.samples, _not_linked, ("entities",),
                expected=Range(0, options.partners, options.partners),
                typical=_of_usual_length(kind, options.partner_words), take=TAKEN[kind],
            )
        )  # fmt: skip
    return CrossDocument(name, tuple(steps), prompts, options)


def _not_linked(document: Document, answers: Answers) -> Sequence[PromptSubject]:
    raise RuntimeError("planned before all documents were prepared")


def _of_usual_length(kind: Kind, words: int) -> PromptSubject:
    shown = '"Another Document".\n' + " ".join(["usually"] * words)
    if kind == "walk":
        chain = "From one to another: Some Entity\nFrom another to a third: Some Name"
        return PromptSubject(("some",), {"chain": chain, "second": shown, "third": shown})
    return PromptSubject(("some",), {"shared": "Some Entity, Some Name", "partner": shown})


KIND = RecipeKind(CrossDocumentOptions, cross_document)
