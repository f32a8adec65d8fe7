"""The prompts of EntiGraph, written for Steep to meet the paper's demands (appendix H.1).

Two sets. `full` asks for all that the paper asks: an exhaustive entity list of four kinds and a
summary; then a restatement with emphasis on each entity and an analysis of their interaction, in
Markdown sections that stand alone. `compact` says the same in few words, in plain prose and with
the demand at the end, for generators under a billion parameters that lose a longer instruction.

Document first, entities last in both: all calls of a document share one prefix, which is cached.
Golden files in the tests pin every rendered prompt: a changed word is a changed corpus.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PromptSet:
    """System messages by stage, the user message's document part, and its tail by stage."""

    entities: str
    pair: str
    triplet: str
    document: str
    ask_entities: str
    ask_pair: str
    ask_triplet: str

    def tail(self, title: str, subset: tuple[str, ...]) -> str:
        """The varying end of the user message; the only part that differs within a document."""
        if not subset:
            return self.ask_entities.format(title=title)
        bullets = "\n".join(f"- {name}" for name in subset)
        ask = self.ask_pair if len(subset) == 2 else self.ask_triplet
        return ask.format(title=title, bullets=bullets, names=_listed(subset))


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:-1]) + " and " + names[-1]


_FULL_ENTITIES = """\
You read one document that the user supplies and prepare it for detailed study. Do two things, in \
this order.

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
You analyse one document that the user supplies, in view of {number} entities that occur in it and \
that the user names after the document. Do two things.

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


FULL = PromptSet(
    entities=_FULL_ENTITIES,
    pair=_full_relation("two", "twice", 2),
    triplet=_full_relation("three", "three times", 3),
    document="### Document\n{heading}\n{text}\n",
    ask_entities="",
    ask_pair="\n### Entities\n{bullets}\n",
    ask_triplet="\n### Entities\n{bullets}\n",
)

_COMPACT_SYSTEM = "You explain a short article. Use only facts from the article and keep all names."

COMPACT = PromptSet(
    entities=_COMPACT_SYSTEM,
    pair=_COMPACT_SYSTEM,
    triplet=_COMPACT_SYSTEM,
    document='Article "{title}":\n{text}\n\n',
    ask_entities=(
        "Write JSON with a summary of the article and a list of all its names of people, places, "
        "firms, machines and other important things."
    ),
    ask_pair="Explain in plain sentences what the article says about {names}.",
    ask_triplet="Explain in plain sentences what the article says about {names}.",
)

PROMPTS = {"full": FULL, "compact": COMPACT}
