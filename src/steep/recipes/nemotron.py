"""The five styles of Nemotron-CC for curated text (NVIDIA-NeMo/Curator, `nemotron_cc`).

A document is cut into segments of at most as many tokens as a style may read, and each segment is
rewritten: as an encyclopedia has it (`wikipedia`), condensed (`distill`), as a textbook
(`extract_knowledge`), as a list (`knowledge_list`), or with questions appended to it
(`diverse_qa`). Lengths, sampling and the filters of answers are the published ones; an answer that
fails a filter is counted under its reason: `too-long`, `lead-in-missing`, `below-minimum`,
`no-bullets`, `no-questions`.

Differences from the published code: tokens are approximate (`core/token_counts.py`); segments are
cut evenly at paragraphs and sentences, where the published ones drop lines that are too long;
filters see single segments, as their texts are not joined again; `wikipedia` reads documents from
30 tokens on, not 5, as shorter answers would be rejected anyway; questions are appended to the
segment with the heading of its document. All styles are written about all documents: the published
choice by quality is for web pages. The prompts are written anew, so the lead-ins are others, too.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from pydantic import Field

from steep.core.calls import Call
from steep.core.ids import derive_seed
from steep.core.token_counts import approximate_tokens
from steep.core.words import count_words
from steep.documents.document import Document
from steep.documents.split import split_document
from steep.recipes.parsing import items_of, questions_of, written
from steep.recipes.prompt_files import prompt_text
from steep.recipes.prompted import Prompted, PromptSubject
from steep.recipes.recipe import (
    Answers,
    Recipe,
    RecipeKind,
    Rejected,
    SampledOptions,
    Writer,
)

MARGIN = 2  # tokens below the longest answer: one of the full length is probably cut off
QUESTIONS_PER_TOKEN = 10 / 150  # that are kept of an answer, at most
LEAST_DOCUMENT = 30  # tokens

_MARKDOWN = re.compile(r"\*\*|__(?=\S)|(?<=\S)__|`|^[ \t]*#{1,6}[ \t]+", re.MULTILINE)
_QUOTES = " \t\n\"'“”„«»「」『』"
_LABEL = re.compile(r"^[\W_]*(?:text|passage|document|knowledge)[\W_]*$", re.IGNORECASE)

Style = Literal["wikipedia", "diverse_qa", "distill", "extract_knowledge", "knowledge_list"]
# Turns an answer into a training text, or the reason against it.
Cleaned = Callable[[Call, str], str | Rejected]


class NemotronOptions(SampledOptions):
    """Five styles in which Nemotron-CC rewrites curated text."""

    styles: tuple[Style, ...] = Field(
        ("wikipedia", "diverse_qa", "distill", "extract_knowledge", "knowledge_list"),
        min_length=1,
        description="diverse_qa: questions after their text; distill: condensed",
    )
    samples: int = Field(1, ge=1, description="texts per style and segment")
    temperature: float | None = Field(0.5, ge=0, le=2, description="Nemotron-CC: 0.5")
    top_p: float | None = Field(0.9, gt=0, le=1, description="Nemotron-CC: 0.9")
    max_tokens: int | None = Field(
        None, ge=16, description="of one completion; null: 512 to 1,600, by style as published"
    )


class StyleRules(NamedTuple):
    """The published rules of a style; lengths are in tokens."""

    most_in: int  # of a segment
    most_out: int
    least_segment: int
    least_text: int
    clean: Cleaned


def after_lead_in(call: Call, text: str) -> str | Rejected:
    """Return what follows the lead-in that the prompt asks for, without Markdown and quotes."""
    asked = re.search(r'Begin with the line "(.+?):"', call.messages[-1].content)
    lead_in = re.escape(asked[1]) if asked else ""
    found = re.match(rf"[\s*_#\"“]*{lead_in}[*_]*[ \t]*[:\uff1a][*_]*", text, re.IGNORECASE)
    if not found:
        return Rejected("lead-in-missing")
    return _MARKDOWN.sub("", text[found.end() :]).strip(_QUOTES)


def after_the_segment(call: Call, text: str) -> str | Rejected:
    """Return the segment with some of the questions, whose order and number are drawn."""
    items = questions_of(text)
    if not items:
        return Rejected("no-questions")
    segment = call.messages[-1].parts[0].strip()
    draw = random.Random(derive_seed(call.id, "questions"))
    draw.shuffle(items)
    most = max(1, int(QUESTIONS_PER_TOKEN * approximate_tokens(segment)))
    return f"{segment}\n\n{written(items[: draw.randint(1, most)])}"


def without_labels(call: Call, text: str) -> str | Rejected:
    """Return a text without lines that are only a label, such as "Passage:"."""
    lines = (line for line in text.splitlines() if not _LABEL.match(line))
    return "\n".join(lines).strip()


def as_a_list(call: Call, text: str) -> str | Rejected:
    """Return the items of a list; what stands before and between them is left out."""
    items = items_of(text, marked_only=True)
    return "\n".join(f"- {item}" for item in items) if items else Rejected("no-bullets")


STYLES: dict[Style, StyleRules] = {
    "wikipedia": StyleRules(512, 512, 30, 50, after_lead_in),
    "diverse_qa": StyleRules(1000, 600, 30, 100, after_the_segment),
    "distill": StyleRules(2000, 1600, 10, 50, after_lead_in),
    "extract_knowledge": StyleRules(1400, 1400, 30, 0, without_labels),
    "knowledge_list": StyleRules(1000, 600, 30, 0, as_a_list),
}


def segments_of(document: Document, rules: StyleRules) -> Sequence[str]:
    """Return the segments of a document that a style reads."""
    tokens = approximate_tokens(document.text)
    if tokens < LEAST_DOCUMENT:
        return ()
    words = max(1, int(count_words(document.text) * rules.most_in / tokens))
    parts = (each.text for each in split_document(document, words))
    return tuple(each for each in parts if approximate_tokens(each) >= rules.least_segment)


@dataclass(frozen=True)
class Rewrites(Prompted):
    """Rewrites of the segments of a document in one style; a subject is a segment."""

    rules: StyleRules = field(kw_only=True, repr=False)

    def passage(self, call: Call, text: str) -> str | Rejected | None:
        """Return the training text in an answer, or the filter that it fails."""
        if approximate_tokens(text) > self.rules.most_out - MARGIN:
            return Rejected("too-long")
        found = self.rules.clean(call, text.strip())
        if isinstance(found, str) and approximate_tokens(found) < self.rules.least_text:
            return Rejected("below-minimum")
        return found

    def _shown(self, document: Document, subject: PromptSubject) -> Document:
        return replace(document, text=subject.values.get("segment", ""))


@dataclass(frozen=True)
class Nemotron(Recipe):
    """The recipe; `nemotron()` makes it."""

    def unsuitable(self, document: Document) -> str | None:
        """Return why a document is too short for every style."""
        tokens = approximate_tokens(document.text)
        if tokens >= LEAST_DOCUMENT:
            return None
        return f"about {tokens} tokens, fewer than {LEAST_DOCUMENT}"


def nemotron(name: str, options: NemotronOptions, writer: Writer) -> Nemotron:
    """Return the recipe with these options."""
    return Nemotron(
        name, tuple(_step(name, style, options, writer) for style in dict.fromkeys(options.styles))
    )


def _step(name: str, style: Style, options: NemotronOptions, writer: Writer) -> Rewrites:
    rules = STYLES[style]
    longest = options.max_tokens or rules.most_out
    own = writer.sampled(options.model_copy(update={"max_tokens": longest}))

    def subjects(document: Document, answers: Answers) -> Sequence[PromptSubject]:
        return tuple(
            PromptSubject((f"segment {number}",), {"segment": text})
            for number, text in enumerate(segments_of(document, rules), start=1)
        )

    return Rewrites(
        name, style, prompt_text(f"nemotron/{style}.md"), own, options.samples, subjects,
        rules=rules._replace(most_out=longest), quotes_prompt=style == "diverse_qa",
    )  # fmt: skip


KIND = RecipeKind(NemotronOptions, nemotron)
