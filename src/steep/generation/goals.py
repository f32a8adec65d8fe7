"""A goal in tokens or dollars: how many calls each document gets, found while they are made.

Nobody knows beforehand how long texts will be, so a goal is approached in rounds: a small sample
first, then shares by what the texts so far have measured, until the goal is met or the plan has no
more calls. Shares are proportional to the documents' lengths. Each round is written to the ledger
before it is acted upon, and a document's share only grows, so a run that was killed goes on with
the same plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from steep.core.ids import stable_hash
from steep.documents.document import Document
from steep.generation.allot import Made, next_counts
from steep.generation.plan import counted_calls
from steep.ledger.ledger import Ledger
from steep.recipes.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Goal:
    """So many tokens of text, or so many dollars for the whole project.

    Attributes:
        key: What the ledger files the shares under: another goal or recipe starts anew, though it
            finds the calls that were made for this one.
    """

    amount: float
    unit: Literal["tokens", "usd"]
    key: str


def goal_of(target_tokens: int | None, max_cost_usd: float | None, recipe: Recipe) -> Goal | None:
    """The goal of a configuration: its tokens, or else its dollars, or none."""
    if target_tokens is not None:
        return Goal(target_tokens, "tokens", stable_hash(["tokens", target_tokens, repr(recipe)]))
    if max_cost_usd is not None:
        return Goal(max_cost_usd, "usd", stable_hash(["usd", max_cost_usd, repr(recipe)]))
    return None


def next_round(
    goal: Goal,
    documents: Sequence[Document],
    recipe: Recipe,
    ledger: Ledger,
    expected_per_call: float,
    spent_usd: float,
) -> dict[str, int] | None:
    """How many calls each document has from now on; None when the goal is met or out of reach.

    Args:
        goal: What is to be reached.
        documents: The documents of the plan; their openings have been made.
        recipe: What is written about them.
        ledger: What was made so far.
        expected_per_call: Tokens of text, or dollars, that a call is expected to give or take, if
            none is recorded.
        spent_usd: What the project has spent in all.
    """
    counts = ledger.allotment(goal.key)
    capacities: dict[str, int] = {}
    made: dict[str, Made] = {}
    for document in documents:
        calls, below = counted_calls(document, recipe, ledger, counts)
        capacities[document.id] = len(calls)
        finished = ledger.slot_totals(calls.key, below)
        units = finished.usage.completion_tokens if goal.unit == "tokens" else finished.cost_usd
        made[document.id] = Made(sum(finished.counts.values()), units)
    amount = goal.amount
    if goal.unit == "usd":  # openings, and whatever else the project has bought, come off it
        amount -= spent_usd - sum(each.units for each in made.values())
    weights = {document.id: len(document.text) for document in documents}
    return next_counts(amount, weights, capacities, counts, made, expected_per_call)
