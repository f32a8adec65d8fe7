"""`steep generate --preview N`: write a few texts of every step, to read them before the whole run.

The calls are those of the full run, and stay in the ledger: the full run does not pay for them
again. The exception are texts of recipes that link documents, since only those of the preview are
linked.
"""

from __future__ import annotations

import difflib
from collections.abc import Container, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from steep.core.calls import Call, Completion, Usage
from steep.core.errors import UserError
from steep.core.formatting import plural
from steep.documents.document import Document
from steep.generation.config import GenerateConfig
from steep.generation.plan import PlannedCall, PlanView, is_final
from steep.generation.probe import announce, choose, online, shares_of
from steep.generation.run import run_generation
from steep.generation.setup import recipes_of
from steep.ledger.ledger import Ledger
from steep.ledger.records import CallRecord

DOCUMENT_CHARACTERS = 400  # of the beginning that is shown
MOST_DOCUMENTS = 5  # that a preview reads: each may take preparing calls of its own


@dataclass(frozen=True, slots=True)
class PreviewedCall:
    """A call of a preview with its outcome.

    Attributes:
        status: As in the ledger; "to do" if the budget or an interruption came first.
        document: The beginning of the document.
        tail: The end of the prompt, after the document.
        before: It was paid for by an earlier command.
    """

    recipe: str
    step: str
    subset: tuple[str, ...]
    document_id: str
    title: str
    document: str
    tail: str
    call_id: str
    status: str
    text: str
    error: str | None
    usage: Usage
    cost_usd: float | None  # None: unknown
    before: bool


@dataclass(frozen=True, slots=True)
class PreviewCost:
    """What calls of a preview took."""

    calls: int
    usage: Usage
    known_usd: float
    unpriced: int  # answers whose cost is not known


@dataclass(frozen=True, slots=True)
class Preview:
    """The texts of a preview, or what stands in their place, and their cost.

    The costs include those of preparing calls, which `calls` has only where no text followed.
    """

    calls: tuple[PreviewedCall, ...]
    paid: PreviewCost  # now
    paid_before: PreviewCost  # for the same calls, by earlier commands
    linking: tuple[str, ...] = ()  # recipes whose texts the full run does not use

    def as_json(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        return asdict(self)


def of_recipe(settings: GenerateConfig, recipe: str | None) -> GenerateConfig:
    """Return settings with one of the recipes, or as they are.

    Raises:
        UserError: There is no such recipe.
    """
    if recipe is None:
        return settings
    if recipe not in settings.recipes:
        near = difflib.get_close_matches(recipe, settings.recipes, n=1)
        raise UserError(
            "There is no such recipe in this project.",
            where="--recipe",
            expected=", ".join(settings.recipes),
            found=recipe,
            hint=f"did you mean '{near[0]}'?" if near else None,
        )
    return settings.model_copy(update={"recipes": {recipe: settings.recipes[recipe]}})


def make_preview(
    settings: GenerateConfig,
    documents: Sequence[Document],
    ledger: Ledger,
    number: int,
    root: Path | None = None,
) -> Preview:
    """Write `number` texts of each step, about documents that are spread over the lengths.

    Raises:
        UserError: The generator cannot be used, or there is no price for a limit in dollars.
    """
    settings, recipes = online(settings, "generate: preview"), recipes_of(settings)
    chosen = choose(documents, min(number, MOST_DOCUMENTS))
    texts = {each.id: number // len(chosen) for each in chosen}
    for each in chosen[: number % len(chosen)]:
        texts[each.id] += 1
    shares = shares_of(settings, documents, chosen)
    spread = "spread over" if len(chosen) > 1 else "about"
    what = f"generate: preview: up to {plural(number, 'text')} of each step of %s, {spread} %s"
    announce(what, max(texts.values()), shares, recipes, settings.model)
    views = [
        (
            own,
            PlanView(
                [each for each in part if texts[each.id] == size], recipes, ledger, None, size
            ),
        )
        for _, own, part in shares
        for size in sorted({texts[each.id] for each in part})
    ]
    before = {
        call.id
        for _, view in views
        for call, record in view.ended()
        if record and is_final(record.status)
    }
    for own, view in views:
        run_generation(own, view, root=root)
    ended = {
        record.call_id: record.completion
        for _, view in views
        for _, record in view.walk()
        if record and record.status != "submitted"
    }
    return Preview(
        tuple(each for _, view in views for each in _shown(view, before)),
        _cost([each for name, each in ended.items() if name not in before]),
        _cost([each for name, each in ended.items() if name in before]),
        tuple(recipe.name for recipe in recipes if recipe.links_documents),
    )


def _shown(view: PlanView, before: Container[str]) -> Iterator[PreviewedCall]:
    """Yield the calls for texts, or the preparing calls of a document without texts."""
    for recipe in view.recipes:
        for document in view.documents:
            texts = [each for each in view.texts(recipe, document) or () if each.number]
            planned = (
                PlannedCall(call, view.ledger.get(call.id))
                for each in texts
                for call in map(view.calls(each).__getitem__, range(each.number))
            )
            for call, record in planned if texts else view.preparation(recipe, document).planned:
                yield _previewed(document, call, record, call.id in before)


def _previewed(
    document: Document, call: Call, record: CallRecord | None, before: bool
) -> PreviewedCall:
    prompt, text = call.messages[-1].content, document.text.strip()
    return PreviewedCall(
        recipe=call.recipe,
        step=call.stage,
        subset=call.subset,
        document_id=document.id,
        title=document.full_title,
        document=text[:DOCUMENT_CHARACTERS] + " ..." * (len(text) > DOCUMENT_CHARACTERS),
        tail=prompt.rpartition(text)[2].strip() or prompt,
        call_id=call.id,
        status="to do" if record is None else record.status,
        text="" if record is None else record.text,
        error=None if record is None else record.completion.error,
        usage=Usage() if record is None else record.completion.usage,
        cost_usd=None if record is None else record.completion.cost_usd,
        before=before,
    )


def _cost(found: Sequence[Completion]) -> PreviewCost:
    answered = [each for each in found if each.error is None]
    usage = [each.usage for each in answered]
    return PreviewCost(
        len(found),
        Usage(
            sum(each.prompt_tokens for each in usage),
            sum(each.cached_tokens for each in usage),
            sum(each.completion_tokens for each in usage),
            sum(each.reasoning_tokens for each in usage),
        ),
        sum(each.cost_usd or 0.0 for each in answered),
        sum(each.cost_usd is None for each in answered),
    )
