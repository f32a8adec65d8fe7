"""Stage 2: documents become completions, in the ledger.

The ledger is the store; the artifact is a summary of the plan's outcome. A run with failed calls is
tried again by the same command, so its manifest counts as finished only while nothing failed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from steep.config import EMBEDDED_MODEL, Config, GenerateConfig
from steep.core.errors import UserError
from steep.core.files import write_jsonl
from steep.core.ids import stable_hash
from steep.core.progress import Progress
from steep.documents.document import Document
from steep.generation import plan, scheduler
from steep.generation.ledger import Ledger
from steep.llm.client import Client
from steep.project import Artifact, Project
from steep.recipes.entigraph import EntiGraph
from steep.stages import documents as documents_stage
from steep.stages.harness import Identity, explain_change, finish, log, remove_leftovers
from steep.stages.models import check_libraries, embedded_directory

VERSION = 1
ENTITIES_NAME = "entities.jsonl"
SHOWN_REASONS = 3
# Fields that change how calls are made but not which calls are made, nor what they say.
NOT_IDENTITY = {
    "engine", "base_url", "api_key_env", "concurrency", "timeout_s", "max_attempts",
    "context_tokens", "usd_per_million_input_tokens", "usd_per_million_output_tokens",
}  # fmt: skip


def recipe_of(config: GenerateConfig) -> EntiGraph:
    """The recipe that the configuration describes."""
    return EntiGraph(
        model=config.model,
        temperature=config.temperature,
        top_p=config.top_p,
        max_tokens=config.max_tokens,
        frequency_penalty=config.frequency_penalty,
        prompt=config.prompt,
        pairs=config.pairs,
        triplets=config.triplets,
        entity_attempts=config.entity_attempts,
        min_entities=config.min_entities,
        max_entities=config.max_entities,
        seed=config.seed,
    )


def run(config: Config, project: Project, documents: Artifact) -> Artifact | None:
    """Make every planned call that the ledger lacks; None when no recipe is asked for.

    Raises:
        UserError: The endpoint cannot be used at all, or a document exceeds the context.
    """
    settings = config.generate
    if settings.recipe is None:
        log.info("generate: nothing to write, generate.recipe is null")
        return None
    fields = {
        f"generate.{name}": value
        for name, value in settings.model_dump(mode="json").items()
        if name not in NOT_IDENTITY
    }
    identity = Identity("generate", VERSION, fields, {"documents": documents})
    found = project.find(identity.stage, identity.hash8)
    if found and found.manifest["counts"]["failed"] == 0 and project.ledger_path.is_file():
        log.info("generate: done before (%s)", found.path.name)
        return found
    if not found:
        explain_change(project, identity)
    path = project.artifact_path(identity.stage, identity.hash8)
    start = time.monotonic()
    loaded = documents_stage.load(documents)
    with Ledger(project.ledger_path) as ledger:
        remove_leftovers(path)
        manifest = _make(path, settings, loaded, ledger)
    before = found.manifest["wall_s"] if found else 0.0
    wall_s = round(before + time.monotonic() - start, 2)
    artifact = finish(path, identity, {**manifest, "wall_s": wall_s})
    _tell_failures(manifest)
    return artifact


def check(config: Config) -> None:
    """Refuse settings that contradict each other, before anything is read or spent.

    Raises:
        UserError: The embedded model is to write under another name, or its libraries are missing.
    """
    settings = config.generate
    if settings.recipe is None or settings.engine != "embedded":
        return
    check_libraries()
    if settings.model != EMBEDDED_MODEL:
        raise UserError(
            "The embedded engine writes with the embedded model only.",
            where="generate.model",
            expected=EMBEDDED_MODEL,
            found=settings.model,
            hint="correct it, or set generate.engine to openai",
        )


def _tell_failures(manifest: dict[str, Any]) -> None:
    counts = manifest["counts"]
    reasons = [f"{each['calls']} x {each['reason']}" for each in manifest["failures"]]
    if counts["failed"] == counts["planned"] > 0:
        raise UserError(
            "Not one call was answered with a text.",
            where=f"{manifest['endpoint']}, model '{manifest['model']}'",
            found="\n            ".join(reasons[:SHOWN_REASONS]),
            hint="put that right and run the same command again",
        )
    if counts["failed"]:
        log.warning(
            "generate: %d of %d calls failed; the next run tries again",
            counts["failed"],
            counts["planned"],
        )
        for reason in reasons[:SHOWN_REASONS]:
            log.warning("  %s", reason)


def _make(
    path: Path, settings: GenerateConfig, documents: Sequence[Document], ledger: Ledger
) -> dict[str, Any]:
    recipe = recipe_of(settings)
    totals = plan.totals(documents, recipe, ledger)
    if totals.to_do or totals.failed:
        _check_context(documents, settings)
        totals = asyncio.run(_generate(settings, documents, recipe, ledger))
    entities = []
    for document in documents:
        found = recipe.entities(document, plan.opening_of(document, recipe, ledger).texts)
        row = {"document_id": document.id, "entities": found.entities, "summary": found.summary}
        entities.append(row)
    write_jsonl(path / ENTITIES_NAME, entities)
    if totals.without_calls:
        log.warning(
            "generate: no entities were found for %d documents: %s",
            len(totals.without_calls),
            ", ".join(totals.without_calls[:5]),
        )
    endpoint = "in process" if settings.engine == "embedded" else settings.base_url
    return {
        "counts": totals.counts,
        "usage": {
            "prompt_tokens": totals.usage.prompt_tokens,
            "cached_tokens": totals.usage.cached_tokens,
            "completion_tokens": totals.usage.completion_tokens,
        },
        "cost_usd": totals.cost_usd,
        "model": settings.model,
        "endpoint": endpoint,
        "failures": [failure._asdict() for failure in totals.failures],
        "documents_without_calls": totals.without_calls,
        "digest": _digest(documents, recipe, ledger),
    }


def _digest(documents: Sequence[Document], recipe: EntiGraph, ledger: Ledger) -> str:
    """Hash what the corpus stage will read, in its order."""
    outcomes = [
        [call.id, record and [record.status, stable_hash(record.text)]]
        for call, record in plan.walk(documents, recipe, ledger)
    ]
    return stable_hash(outcomes, 16)


async def _generate(
    settings: GenerateConfig, documents: Sequence[Document], recipe: EntiGraph, ledger: Ledger
) -> plan.Totals:
    display = _Display()
    client = make_client(settings, documents, display.on_tokens)
    try:
        totals = await scheduler.generate(documents, recipe, client, ledger, display.on_progress)
    finally:
        await client.close()
    display.finish()
    return totals


class _Display:
    """One progress line fed from two sides: calls by the scheduler, tokens by the decoder.

    A model in this process tells every token; an endpoint tells them when a call has come back.
    """

    def __init__(self) -> None:
        self._progress = Progress("generate", None, "tokens written")
        self._decoded = 0
        self._state: scheduler.Progress | None = None

    def on_tokens(self, count: int) -> None:
        self._decoded += count
        self._show()

    def on_progress(self, state: scheduler.Progress) -> None:
        stopped = state.phase == "stopping" and self._state and self._state.phase != "stopping"
        if stopped and state.in_flight:
            log.info("generate: stopping; %d calls in flight are waited for", state.in_flight)
        self._state = state
        self._show()

    def finish(self) -> None:
        self._progress.finish(f"{self._tokens:,} tokens written")

    @property
    def _tokens(self) -> int:
        return max(self._decoded, self._state.new_tokens if self._state else 0)

    def _show(self) -> None:
        if (state := self._state) is None:
            return
        cost = "unknown" if state.new_cost_usd is None else f"${state.new_cost_usd:.2f}"
        self._progress.update(
            self._tokens,
            phase=state.phase,
            calls=f"{state.finished}/{state.planned}",
            failed=state.new_failed,
            in_flight=state.in_flight,
            cost=cost,
        )


def make_client(
    settings: GenerateConfig,
    documents: Sequence[Document],
    on_tokens: Callable[[int], None] = lambda count: None,
) -> Client:
    """The client that the configuration names; says which host will see the documents."""
    if settings.engine == "embedded":
        from steep.llm.embedded import EmbeddedClient

        log.info("generate: the embedded model writes in this process; nothing leaves the machine")
        return EmbeddedClient(embedded_directory(), on_tokens=on_tokens)
    from steep.llm.openai import OpenAIClient
    from steep.llm.prices import Prices

    client = OpenAIClient(
        settings.base_url,
        api_key_env=settings.api_key_env,
        concurrency=settings.concurrency,
        timeout_s=settings.timeout_s,
        max_attempts=settings.max_attempts,
        prices=Prices(
            settings.usd_per_million_input_tokens, settings.usd_per_million_output_tokens
        ),
    )
    log.info("generate: %s will see %d documents", client.endpoint, len(documents))
    return client


def _check_context(documents: Sequence[Document], settings: GenerateConfig) -> None:
    """Refuse documents that cannot fit, before anything is spent.

    Three characters a token is few for most languages, which leaves room for the instructions.
    """
    if settings.context_tokens is None:
        return
    room = (settings.context_tokens - settings.max_tokens) * 3
    if room <= 0:
        raise UserError(
            "The answer alone would fill the context.",
            where="generate.max_tokens",
            expected=f"well under generate.context_tokens, {settings.context_tokens:,}",
            found=f"{settings.max_tokens:,}",
        )
    too_long = [document for document in documents if len(document.text) > room]
    if too_long:
        longest = max(too_long, key=lambda document: len(document.text))
        raise UserError(
            f"{len(too_long)} of {len(documents)} documents are larger than the context.",
            where=f"the longest is '{longest.id}'",
            expected=f"at most about {room:,} characters (generate.context_tokens "
            f"{settings.context_tokens:,} less generate.max_tokens {settings.max_tokens:,})",
            found=f"{len(longest.text):,} characters",
            hint=f"set documents.split_words to {max(50, room // 8)} or less",
        )
