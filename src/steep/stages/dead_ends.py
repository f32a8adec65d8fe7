"""Documents without entities: nothing can be written about them, which must not pass in silence.

A wrong chat template, a model that thinks until its tokens are spent, or a server that ignores
`response_format` answer every call and name no entities. A few such documents are named. Most of
them are no accident: the run then ends with one of their answers, and `steep generate
--retry-entities` asks again for exactly these documents once that is put right.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from steep.core.calls import WITHOUT_TEXT
from steep.core.errors import UserError
from steep.core.formatting import some_of
from steep.documents.document import Document
from steep.generation import plan
from steep.ledger.endpoint_health import MOST_EMPTY, no_text, reasoning_found
from steep.ledger.ledger import Ledger
from steep.recipes.entigraph import EntiGraph, parse_entities

log = logging.getLogger("steep")

SHOWN_ANSWER = 300  # characters
SHOWN_NAMES = 5
FEW = 3  # entities allow a pair and a triplet; so many documents without any are no accident


def without_entities(
    documents: Sequence[Document], recipe: EntiGraph, ledger: Ledger, totals: plan.Totals
) -> list[Document]:
    """Return the documents whose answers named too few entities for a single text."""
    suspects = frozenset(totals.without_calls)
    return [
        document
        for document in documents
        if document.id in suspects
        and has_too_few(
            recipe,
            len(
                recipe.entities(document, plan.opening_of(document, recipe, ledger).texts).entities
            ),
        )
    ]


def has_too_few(recipe: EntiGraph, entities: int) -> bool:
    """Return whether a recipe that writes about entities has nothing to write with so many."""
    return any(recipe.relations_among(FEW)) and not any(recipe.relations_among(entities))


def is_dead_end(without: int, documents: int) -> bool:
    """Return whether so many documents without entities are no accident."""
    return without > documents / 2 and (without >= FEW or without == documents)


def counted(without: Sequence[str], documents: int) -> str:
    """Return how many documents have no entities, and the first of them."""
    names = some_of(without, SHOWN_NAMES)
    return f"documents without entities: {len(without):,} of {documents:,} ({names})"


def is_mostly_empty(counts: Mapping[str, int]) -> bool:
    """Return whether most answers of a plan hold no text."""
    textless = _textless(counts)
    answered = textless + sum(counts[status] for status in ("done", "refused", "truncated"))
    return textless > MOST_EMPTY * answered


def _textless(counts: Mapping[str, int]) -> int:
    return sum(counts[status] for status in WITHOUT_TEXT)


def tell_empty(manifest: dict[str, Any]) -> None:
    """Say when most answers hold no text.

    Raises:
        UserError: They do not.
    """
    if manifest["mostly_empty"]:
        counts = manifest["counts"]
        problem, hint = no_text(counts["reasoning"], _textless(counts))
        raise UserError(
            f"{problem}: {_textless(counts):,} of {counts['planned']:,} calls.",
            where=f"{manifest['endpoint']}, model '{manifest['model']}'",
            found=reasoning_found(counts["reasoning"], manifest["reasoning_tokens"]) or None,
            hint=hint,
        )


def answer_about(document: Document, recipe: EntiGraph, ledger: Ledger) -> str:
    """Return the beginning of the last answer that should have named entities."""
    records = [record for _, record in plan.opening_of(document, recipe, ledger).planned if record]
    text = " ".join(records[-1].text.split()) if records else ""
    if not text:
        reason = records[-1].completion.finish_reason if records else "unknown"
        return f"about '{document.id}': an answer without text, finish reason '{reason}'"
    shown = text if len(text) <= SHOWN_ANSWER else f"{text[:SHOWN_ANSWER]}..."
    return f"about '{document.id}': {shown}"


def why_none(document: Document, recipe: EntiGraph, ledger: Ledger) -> str | None:
    """Return why a document whose entities were asked for has too few; None if it has enough."""
    opening = plan.opening_of(document, recipe, ledger)
    found = recipe.entities(document, opening.texts).entities
    if not opening.complete or not opening.texts or not has_too_few(recipe, len(found)):
        return None
    named = [name for text in opening.texts if text for name in parse_entities(text).entities]
    if not named:
        return "no answer held a JSON list of entities"
    names = list(dict.fromkeys(named))
    strange = [name for name in names if name not in found]
    kept = f"{len(found)} of {len(names)} names were accepted"
    return f"{kept}; not in the document: {some_of(strange, SHOWN_NAMES)}"


def tell(manifest: dict[str, Any]) -> None:
    """Say which documents have no entities.

    Raises:
        UserError: Most of them have none.
    """
    without: list[str] = manifest["documents_without_entities"]
    if not without:
        return
    if not manifest["dead_end"]:
        said = counted(without, manifest["documents"])
        log.warning("generate: %s; steep generate --retry-entities asks for them again", said)
        return
    raise UserError(
        f"Most documents have no entities: {len(without):,} of {manifest['documents']:,}. "
        "Nothing is written about them.",
        where=f"{manifest['endpoint']}, model '{manifest['model']}'",
        expected='JSON like {"summary": "...", "entities": ["...", "..."]}, with names that stand '
        "in the document",
        found=manifest["entity_answer"],
        hint="see to the chat template and the response_format of the model, and to its reasoning, "
        "for which generate.reasoning_tokens may be too low; then: steep generate --retry-entities",
    )
