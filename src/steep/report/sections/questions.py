"""Written questions: who wrote them, what the gates rejected, and the bias that remains."""

from __future__ import annotations

from collections.abc import Iterator

from steep.core.formatting import cost_of, count, plural, reasons
from steep.evaluation.writing.about import cautions, gate_rows
from steep.evaluation.writing.results import WritingResult
from steep.report.blocks import Block, Bullets, Fold, PageSection, Part, Table
from steep.report.conclusions import capitalized
from steep.report.html import el


def written_questions(found: WritingResult, generator: str) -> PageSection:
    """Return the section; `generator` is the model that wrote the corpus."""
    opening = (
        f"The questions of this evaluation were written by {found.writer}. Of "
        f"{plural(found.candidates, 'candidate')}, {count(found.accepted)} passed all gates and "
        f"{count(found.rejected)} were rejected, each by the first gate that it failed."
    )
    rest = {"spare": found.spare, "not checked": found.unfinished}
    blocks: list[Block] = [
        Table(
            ("gate", "checked", "rejected", "share"),
            list(gate_rows(found)),
            f"Not needed: {reasons({name: number for name, number in rest.items() if number})}.",
        ),
        Table(
            ("kind", "wanted", "accepted"),
            [(each.kind, each.wanted, each.accepted) for each in found.kinds],
            f"Right options by letter: {reasons(found.letters)}. Questions as a person left them: "
            f"{reasons(found.marks)}.",
        ),
        Part("What these questions can show", [Bullets(list(_bias(found, generator)))]),
        Fold("The prompts of the writer and of the gates", list(_prompts(found))),
    ]
    return PageSection("questions", "Written questions", opening, blocks)


def _bias(found: WritingResult, generator: str) -> Iterator[str]:
    yield (
        f"A model chose what is asked: what {found.writer} finds notable, in its words. Another "
        "writer would ask for other facts."
    )
    if found.base is not None:
        yield (
            "Questions that the base model answers closed book were rejected, so its score is "
            "lower than on questions drawn at random. Differences between trained models are not "
            "affected; differences from the base are partly selection."
        )
    if found.blind is not None:
        yield f"Questions that {found.blind} answers without the document were rejected."
    if not set(found.marks) - {"written"}:
        yield "No person has reviewed the questions (steep questions --review)."
    yield from (f"{capitalized(each)}." for each in cautions(found, generator))
    yield (
        f"All questions of this project took {plural(found.requests, 'request')}, cost "
        f"{cost_of(found.known_usd, found.unpriced)}."
    )


def _prompts(found: WritingResult) -> Iterator[Block]:
    for name, text in found.prompts.items():
        yield Part(name, [el("pre", text)])
