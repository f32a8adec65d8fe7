"""`steep plan --probe N`: make a few calls about some documents, to measure what a plan needs.

The texts stay in the ledger. A document is read by the same endpoint as in the full run.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from steep.core.calls import Usage
from steep.core.formatting import dollars, plural
from steep.documents.document import Document
from steep.generation.config import GenerateConfig
from steep.generation.plan import PlanView
from steep.generation.planning import NO_HOST, Host, hosts_of
from steep.generation.run import run_generation
from steep.generation.setup import base_urls, recipes_of
from steep.ledger.ledger import Ledger
from steep.recipes.recipe import Recipe

log = logging.getLogger("steep")

PROBE_CALLS = 4  # per document and step; fewer answers do not show their length


def make_calls(
    settings: GenerateConfig,
    documents: Sequence[Document],
    ledger: Ledger,
    number: int,
    root: Path | None = None,
) -> None:
    """Make the preparing calls and a few others about some documents.

    The number of calls, their destination and the most that they can cost are logged before.

    Raises:
        UserError: The generator cannot be used, or there is no price for a limit in dollars.
    """
    settings = online(settings, "plan: probe")
    recipes, chosen = recipes_of(settings), choose(documents, number)
    shares = shares_of(settings, documents, chosen)
    what = f"plan: probe: up to {PROBE_CALLS} calls of each step of %s about %s"
    announce(what, PROBE_CALLS, shares, recipes, settings.model)
    for _, own, part in shares:
        view = PlanView(part, recipes, ledger, most_per_step=PROBE_CALLS)
        counts = run_generation(own, view, root=root).totals.counts
        outcomes = [f"{count} {name}" for name, count in counts.items() if count]
        log.info("plan: probe: %s", ", ".join(outcomes))
        for failure in view.totals().failures:
            log.warning("plan: probe: %d x %s", failure.calls, failure.reason)


def online(settings: GenerateConfig, what: str) -> GenerateConfig:
    """Return settings with the batch API replaced; `what` begins the log line about it."""
    if settings.engine != "openai-batch":
        return settings
    log.info("%s: not as a batch, which takes hours, but online and at that price", what)
    return settings.model_copy(update={"engine": "openai"})


def shares_of(
    settings: GenerateConfig, documents: Sequence[Document], chosen: Sequence[Document]
) -> list[tuple[Host, GenerateConfig, list[Document]]]:
    """Assign the sampled documents to the endpoints that will read them in the full run."""
    hosts = hosts_of(settings, documents)
    urls = base_urls(settings)
    own = [settings.model_copy(update={"base_url": url}) for url in urls] or [settings]
    shares = [
        (host, alone, [each for each in chosen if each.id in host.documents])
        for host, alone in zip(hosts, own, strict=True)
    ]
    return [share for share in shares if share[2]]


def choose(documents: Sequence[Document], number: int) -> list[Document]:
    """Return some documents, spread evenly over the lengths."""
    by_length = sorted(documents, key=lambda document: (len(document.text), document.id))
    number = min(number, len(by_length))
    return [by_length[(2 * i + 1) * len(by_length) // (2 * number)] for i in range(number)]


def announce(
    what: str,
    most: int,
    shares: Sequence[tuple[Host, GenerateConfig, list[Document]]],
    recipes: Sequence[Recipe],
    model: str,
) -> None:
    """Log which documents are sent where, and what this can cost at most.

    Args:
        what: The beginning of the log line, with places for recipes and number of documents.
        most: Calls of each step about each document.
        shares: The documents of each endpoint.
        recipes: The recipes.
        model: The generator.
    """
    chosen = [document for _, _, part in shares for document in part]
    worst = [_most_usd(part, recipes, host, most) for host, _, part in shares]
    known = [cost for cost in worst if cost is not None]
    cost = f"at most {dollars(sum(known))}" if len(known) == len(shares) else "cost unknown"
    away = [(host.name, len(part)) for host, _, part in shares if host.leaves]
    sent = " and ".join(f"{name} ({number} of them)" for name, number in away)
    log.info(
        f"{what}, by %s; %s; %s",
        ", ".join(recipe.name for recipe in recipes),
        plural(len(chosen), "document"),
        model,
        f"sent to {sent if len(shares) > 1 else away[0][0]}" if away else NO_HOST,
        cost,
    )
    for document in chosen:
        log.info("  %s, %d characters: %s", document.id, len(document.text), document.full_title)


def _most_usd(
    documents: Sequence[Document], recipes: Sequence[Recipe], host: Host, most: int
) -> float | None:
    """Return the highest cost of `most` calls of typical size per step and document."""
    total = 0.0
    for document in documents:
        for step in (step for recipe in recipes for step in recipe.steps):
            number = min(most, step.expected_calls(document).high)
            call = step.specimen(document)
            cost = host.prices.cost_usd(Usage(call.prompt_bound, 0, call.answer_bound))
            if cost is None:
                return None
            total += number * cost
    return total
