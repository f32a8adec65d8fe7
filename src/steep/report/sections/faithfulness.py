"""Faithfulness: how many claims of synthetic texts their documents support, by a judge."""

from __future__ import annotations

from steep.core.formatting import cost_of, plural, reasons
from steep.evaluation.study_results import FaithfulnessResult, RecipeFaithfulness, UnsupportedClaim
from steep.report.blocks import Block, Column, PageSection, Part, share_cell, table
from steep.report.results import ResultTables
from steep.report.sections.summaries import judge_part

OPENING = (
    "A judge split a sample of synthetic texts into claims and decided whether the source document "
    "supports each of them. The sample is balanced by document and recipe."
)


def faithfulness(tables: ResultTables) -> PageSection | None:
    """Return the section; None if no text was judged."""
    found = tables.faithfulness
    if found is None:
        return None
    columns: tuple[Column[RecipeFaithfulness], ...] = (
        ("recipe", lambda each: each.recipe),
        ("parts not parsed", lambda each: reasons(each.unread_passages)),
        ("unreadable verdicts", lambda each: reasons(each.unjudged)),
        ("texts", lambda each: each.texts),
        ("documents", lambda each: each.documents),
        ("claims", lambda each: each.claims),
        ("judged", lambda each: each.judged),
        ("supported", lambda each: share_cell(each.supported, "none judged")),
    )
    caption = "Supported claims of those judged, with 95% intervals clustered by document."
    blocks: list[Block] = [
        _cost(found),
        table(found.recipes, columns, caption, range(3)),
        judge_part([found.judge] if found.judge else []),
        _examples(found),
    ]
    return PageSection("faithfulness", "Faithfulness of synthetic texts", OPENING, blocks)


def _cost(found: FaithfulnessResult) -> str:
    cost = cost_of(found.known_usd, found.unpriced)
    text = (
        f"{found.judged} of {plural(found.wanted, 'text')} judged. All judging of faithfulness in "
        f"this project: {plural(found.requests, 'request')}, cost {cost}."
    )
    if found.judged < found.wanted:
        text += " faithfulness.max_cost_usd ended the work; a higher limit continues it."
    return text


def _examples(found: FaithfulnessResult) -> Part | None:
    if not found.examples:
        return None
    columns: tuple[Column[UnsupportedClaim], ...] = (
        ("recipe", lambda each: each.recipe),
        ("document", lambda each: each.document_id),
        ("passage", lambda each: each.passage_id[:12]),
        ("claim", lambda each: each.claim),
    )
    return Part("Unsupported claims", [table(found.examples, columns, texts=range(4), quotes=True)])
