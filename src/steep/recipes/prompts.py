"""The prompts of EntiGraph, written for Steep to meet the paper's demands (appendix H.1).

Two sets. `full` asks for all that the paper asks: an exhaustive entity list of four kinds and a
summary; then a restatement with emphasis on each entity and an analysis of their interaction, in
Markdown sections that stand alone. `compact` says the same in few words, in plain prose and with
the demand at the end, for generators under a billion parameters that lose a longer instruction.

Two orders. `document_first`: one system message for all stages, then the document, then the demand,
then the entities; so all calls of a document share one prefix, which an endpoint reads once and
keeps. `paper`: the demand as the system message, then the document, then the entities, as in the
authors' code; the stages of a document share nothing. (The compact set has a wording of its own for
that order, as there its demand names the entities in mid-sentence.)

A document that is clearly not in English is answered in its own language: the demand says so.

Golden files in the tests pin every rendered prompt: a changed word is a changed corpus.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from steep.core.calls import Message
from steep.documents.document import Document

Order = Literal["document_first", "paper"]
Stage = Literal["entities", "pair", "triplet"]


@dataclass(frozen=True, slots=True)
class PromptSet:
    """The texts of one set.

    Attributes:
        system: What the generator is told first when the document comes before the demand.
        demands: What is asked for, by stage; empty where `asks` says it all.
        document: How the document is shown; takes heading, title and text.
        asks: The end of the prompt, by stage; takes title, bullets and names of the entities.
        in_language: What is added for a document that is not in English; takes its language.
    """

    system: str
    demands: dict[Stage, str]
    document: str
    asks: dict[Stage, str]
    in_language: dict[Stage, str]

    def opening_parts(
        self, document: Document, stage: Stage, order: Order, language: str | None = None
    ) -> tuple[Message, tuple[str, ...]]:
        """The system message, and all parts of the user message but the last."""
        shown = self.document.format(
            heading=document.heading, title=document.title, text=document.text
        )
        demand = self.demands[stage]
        if demand and language:
            demand = f"{demand}{self.in_language[stage].format(language=language)}"
        if order == "paper" and demand:
            return Message("system", (demand,)), (shown,)
        task = (f"\n### Task\n{demand}\n",) if demand else ()
        return Message("system", (self.system,)), (shown, *task)

    def tail(
        self, title: str, stage: Stage, subset: tuple[str, ...], language: str | None = None
    ) -> str:
        """The end of the user message; the only part that differs within a document and stage."""
        bullets = "\n".join(f"- {name}" for name in subset)
        names = _listed(subset) if subset else ""
        ask = self.asks[stage].format(title=title, bullets=bullets, names=names)
        if language and not self.demands[stage]:  # else the demand has said it
            return ask + self.in_language[stage].format(language=language)
        return ask


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:-1]) + " and " + names[-1]


# Only for documents that are not in English: what is asked about those stays as it was.
_ANSWER_IN = "\n\nThe document is in {language}. Write the whole answer in {language}"
_FULL_IN_LANGUAGE: dict[Stage, str] = {
    "entities": f"{_ANSWER_IN}, and each entity as the document spells it. Keep the two keys.",
    "pair": f"{_ANSWER_IN}, the headings too.",
    "triplet": f"{_ANSWER_IN}, the headings too.",
}
_IN_LANGUAGE: dict[Stage, str] = dict.fromkeys(
    ("entities", "pair", "triplet"), " Write in {language}."
)

_FULL_ENTITIES = """\
Read the document and prepare it for detailed study. Do two things, in this order.

1. Summarize the whole document. Keep the summary short, but cover its main content and themes.
2. List every significant entity of the document, as exhaustively and as correctly as you can. \
Include at least:
   - people: everyone who appears, by the name or reference that the text uses;
   - places: real locations, and abstract settings that matter to the content;
   - objects: the concrete things that the text mentions;
   - concepts: the important ideas and themes.

Answer with one JSON object and nothing else. It has exactly two keys:
{"summary": "<the summary>", "entities": ["<entity>", "<entity>", ...]}"""

_FULL_RELATION = """\
Analyse the document in view of {number} entities that occur in it; they are listed at the end. Do \
two things.

1. Restate the content of the document {times}: each time with the emphasis on another of the \
{number} entities, telling what the document says in relation to it.
2. Discuss how the {number} entities interact in the context of the document.

Keep these parts apart. Each part must stand alone, for a reader who has seen neither the document \
nor the other parts: name the document by its title, and give the context that is needed. Use this \
Markdown layout, with the real title and names filled in:

{sections}
### How {interaction} interact in the context of <title>
<the analysis of their interaction>"""

_SECTION = """\
### What <title> says in relation to <entity {number}>
<the content of the document, restated with the emphasis on entity {number}>
"""


def _full_relation(number: str, times: str, size: int) -> str:
    sections = "\n".join(_SECTION.format(number=i + 1) for i in range(size))
    interaction = _listed(tuple(f"<entity {i + 1}>" for i in range(size)))
    return _FULL_RELATION.format(
        number=number, times=times, sections=sections, interaction=interaction
    )


_FULL_ASK = "\n### Entities\n{bullets}\n"

FULL = PromptSet(
    system="You are a careful analyst. The user supplies one document, and then a task about it.",
    demands={
        "entities": _FULL_ENTITIES,
        "pair": _full_relation("two", "twice", 2),
        "triplet": _full_relation("three", "three times", 3),
    },
    document="### Document\n{heading}\n{text}\n",
    asks={"entities": "", "pair": _FULL_ASK, "triplet": _FULL_ASK},
    in_language=_FULL_IN_LANGUAGE,
)

_COMPACT_ASK = "Explain in plain sentences what the article says about {names}."

COMPACT = PromptSet(
    system="You explain a short article. Use only facts from the article and keep all names.",
    demands={"entities": "", "pair": "", "triplet": ""},
    document='Article "{title}":\n{text}\n\n',
    asks={
        "entities": (
            "Write JSON with a summary of the article and a list of all its names of people, "
            "places, firms, machines and other important things."
        ),
        "pair": _COMPACT_ASK,
        "triplet": _COMPACT_ASK,
    },
    in_language=_IN_LANGUAGE,
)

_COMPACT_DEMAND = (
    f"{COMPACT.system} Explain in plain sentences what it says about the names that follow it."
)

COMPACT_PAPER = PromptSet(
    system=COMPACT.system,
    demands={
        "entities": f"{COMPACT.system} {COMPACT.asks['entities']}",
        "pair": _COMPACT_DEMAND,
        "triplet": _COMPACT_DEMAND,
    },
    document=COMPACT.document,
    asks={"entities": "", "pair": "Names: {names}", "triplet": "Names: {names}"},
    in_language=_IN_LANGUAGE,
)

PROMPTS: dict[tuple[str, Order], PromptSet] = {
    ("full", "document_first"): FULL,
    ("full", "paper"): FULL,
    ("compact", "document_first"): COMPACT,
    ("compact", "paper"): COMPACT_PAPER,
}
