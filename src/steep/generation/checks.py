"""Checks of the answers after a run: nothing to write about, answers without text, failures."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from steep.core.calls import WITHOUT_TEXT
from steep.core.errors import UserError
from steep.core.formatting import cost_of, plural, some_of
from steep.documents.document import Document
from steep.generation.plan import PlanView
from steep.generation.totals import Subject
from steep.ledger.endpoint_health import MOST_EMPTY, no_text, reasoning_found

log = logging.getLogger("steep")

SHOWN_ANSWER = 300  # characters
SHOWN_NAMES = 5
SHOWN_REASONS = 3
FEW = 3  # so many documents without texts are no accident


def is_dead_end(without: int, documents: int) -> bool:
    """Return whether so many documents with nothing to write about are no accident."""
    return without > documents / 2 and (without >= FEW or without == documents)


def count_without(ids: Sequence[str], documents: int) -> str:
    """Return how many documents gave nothing to write about, and the first of them."""
    names = some_of(ids, SHOWN_NAMES)
    return f"nothing to write about in {len(ids):,} of {documents:,} documents ({names})"


def way_out(*, is_linked: bool) -> str:
    """Return the command that helps where a recipe has nothing to write about."""
    return "status --document ID tells why" if is_linked else "generate --retry-empty asks again"


def is_mostly_empty(counts: Mapping[str, int]) -> bool:
    """Return whether most answers of a plan hold no text."""
    textless = _textless(counts)
    answered = textless + sum(counts[status] for status in ("done", "refused", "truncated"))
    return textless > MOST_EMPTY * answered


def _textless(counts: Mapping[str, int]) -> int:
    return sum(counts[status] for status in WITHOUT_TEXT)


def prepared_answer(view: PlanView, subject: Subject) -> str:
    """Return the beginning of the last answer that left nothing to write about a document."""
    recipe, document = view.of(subject)
    preparation = view.preparation(recipe, document)
    if not preparation.planned:
        return f"about '{document.id}': {why_nothing(view, document)}"
    planned = preparation.planned
    records = [record for _, record in planned if record]
    text = " ".join(records[-1].text.split()) if records else ""
    if not text:
        reason = records[-1].completion.finish_reason if records else "unknown"
        return f"about '{document.id}': an answer without text, finish reason '{reason}'"
    shown = text if len(text) <= SHOWN_ANSWER else f"{text[:SHOWN_ANSWER]}..."
    return f"about '{document.id}': {shown}"


def why_nothing(view: PlanView, document: Document) -> str | None:
    """Return why recipes have nothing to write about a document; None if they have something."""
    reasons = []
    for recipe in view.recipes:
        if view.has_nothing(recipe, document):
            answers = view.preparation(recipe, document).answers
            reason = recipe.unsuitable(document) or recipe.why_nothing(document, answers)
            reasons.append(f"{recipe.name}: {reason}")
    return "; ".join(reasons) or None


def check_manifest(manifest: dict[str, Any]) -> None:
    """Log the counts of a run, and check them.

    Raises:
        UserError: All calls failed, most answers hold no text, documents exceed the context of the
            model, or most gave nothing to write about.
    """
    _log_counts(manifest)
    where = f"{manifest['endpoint']}, model '{manifest['model']}'"
    _check_failures(manifest, where)
    counts, beyond = manifest["counts"], manifest["beyond_context"]
    if beyond:
        raise UserError(
            f"{len(beyond):,} of {manifest['documents']:,} documents exceed the context of the "
            "model, and cannot be read whole.",
            where=where,
            found=some_of(beyond, SHOWN_NAMES),
            hint="set documents.split_tokens, so that long documents are read in parts "
            "(steep status --failed shows the endpoint's errors); all others are done",
        )
    if manifest["mostly_empty"]:
        problem, hint = no_text(counts["reasoning"], _textless(counts))
        raise UserError(
            f"{problem}: {_textless(counts):,} of {counts['planned']:,} calls.",
            where=where,
            found=reasoning_found(counts["reasoning"], manifest["reasoning_tokens"]) or None,
            hint=hint,
        )
    for each in manifest["without_texts"]:
        _check_prepared(each, manifest["documents"], where)


def _log_counts(manifest: dict[str, Any]) -> None:
    counts, usage = manifest["counts"], manifest["usage"]
    parts = [f"{n:,} {name.replace('_', ' ')}" for name, n in counts.items() if name != "planned"]
    some = [part for part in parts if not part.startswith("0 ")]
    waiting = f" ({manifest['submitted']:,} wait in batches)" if manifest["submitted"] else ""
    beyond = manifest["beyond_target"]
    limit = "generate.stop_when" if manifest["exhausted"] else "the target"
    more = f"; {plural(beyond, 'call')} beyond {limit} not needed" if beyond else ""
    log.info(
        "generate: %s = %s%s%s; %s tokens in (%s cached), %s out, cost %s",
        plural(counts["planned"], "call"),
        " + ".join(some) or "0",
        waiting,
        more,
        f"{usage['prompt_tokens']:,}",
        f"{usage['cached_tokens']:,}",
        f"{usage['completion_tokens']:,}",
        cost_of(manifest["known_usd"], manifest["unpriced"]),
    )


def _check_failures(manifest: dict[str, Any], where: str) -> None:
    failed, planned = manifest["counts"]["failed"], manifest["counts"]["planned"]
    reasons = [f"{each['calls']} x {each['reason']}" for each in manifest["failures"]]
    if failed == planned > 0:
        raise UserError(
            "No call returned any text.",
            where=where,
            found="\n            ".join(reasons[:SHOWN_REASONS]),
            hint="fix the cause and rerun; the run resumes",
        )
    if failed:
        text = "generate: %d of %d calls failed; the next run tries again (steep status --failed)"
        log.warning(text, failed, planned)
        for reason in reasons[:SHOWN_REASONS]:
            log.warning("  %s", reason)


def _check_prepared(found: dict[str, Any], documents: int, where: str) -> None:
    recipe, without = found["recipe"], found["documents"]
    if not found["dead_end"]:
        way = way_out(is_linked=bool(found.get("linked")))
        log.warning("generate: %s: %s; steep %s", recipe, count_without(without, documents), way)
        return
    raise UserError(
        f"The recipe '{recipe}' found nothing to write about in most documents: "
        f"{len(without):,} of {documents:,}.",
        where=where,
        expected=found["expected"],
        found=found["answer"],
        hint="check the chat template and the response_format of the model, and its reasoning, for "
        "which generate.reasoning_tokens may be too low; then: steep generate --retry-empty",
    )
