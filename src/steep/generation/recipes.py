"""The recipes of a configuration, and its plan."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from steep.core.calls import Sampling
from steep.core.errors import UserError
from steep.documents.document import Document
from steep.generation.config import GenerateConfig
from steep.generation.plan import PlanView
from steep.ledger.ledger import Ledger
from steep.recipes.recipe import Recipe, Writer
from steep.recipes.registry import make_recipe


def recipes_of(settings: GenerateConfig) -> tuple[Recipe, ...]:
    """Return the recipes that a configuration names, in its order."""
    sampling = Sampling(
        temperature=settings.temperature,
        top_p=settings.top_p,
        max_tokens=settings.max_tokens + settings.reasoning_tokens,
        frequency_penalty=settings.frequency_penalty,
    )
    writer = Writer(settings.model, sampling, settings.seed)
    return tuple(make_recipe(name, options, writer) for name, options in settings.recipes.items())


def plan_view(settings: GenerateConfig, documents: Sequence[Document], ledger: Ledger) -> PlanView:
    """Return the plan of a configuration for documents."""
    return PlanView(documents, recipes_of(settings), ledger, settings.target_tokens)


def chosen_documents(
    settings: GenerateConfig, documents: Sequence[Document]
) -> tuple[Document, ...]:
    """Return the documents, or parts of them, that texts are written about.

    Raises:
        UserError: `generate.documents` names one that does not exist.
    """
    if not settings.documents:
        return tuple(documents)
    known = {document.whole_id for document in documents}
    if unknown := [each for each in settings.documents if each not in known]:
        near = difflib.get_close_matches(unknown[0], known, n=1)
        raise UserError(
            "There is no such document to write about.",
            where="generate.documents",
            expected=f"IDs of documents, e.g. {', '.join(sorted(known)[:5])}",
            found=unknown[0],
            hint=f"did you mean '{near[0]}'?" if near else None,
        )
    return tuple(each for each in documents if each.whole_id in settings.documents)
