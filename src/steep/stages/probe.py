"""`steep plan --probe N`: buy a little of some documents, so that the plan for all is a good one.

What is bought stays in the ledger, as any other calls do; nothing is lost. Some pairs and some
triplets are bought, as far as either are planned: their answers differ in length. A document is
read by the endpoint that will read it later, too.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from steep.config import Config
from steep.core.artifacts import Project
from steep.core.calls import Call, Usage
from steep.core.formatting import plural
from steep.documents.document import Document
from steep.generation import plan
from steep.generation.config import GenerateConfig
from steep.generation.pricing import base_urls
from steep.ledger.ledger import Ledger
from steep.llm.prices import Prices
from steep.recipes.entigraph import EntiGraph, RelationCalls
from steep.stages import documents as documents_stage
from steep.stages import generation_run
from steep.stages.generate import recipe_of, written_about
from steep.stages.plan import NO_HOST, Host, check_plannable, hosts_of

log = logging.getLogger("steep")

PROBE_TEXTS = 4  # of each document and kind: fewer answers say nothing about their length
LONGEST_NAME = "N" * 80  # characters that an entity may have at most


def probe(config: Config, project: Project, number: int) -> None:
    """Buy the openings and a few texts of some documents, so that a plan knows what they take.

    They are bought as any others are, and stay in the ledger. What is sent where, and what it may
    cost at most, is logged before.

    Raises:
        UserError: The generator cannot be used, or there is no price for a limit in dollars.
    """
    artifact = documents_stage.run(config, project)
    settings = config.generate
    documents = written_about(settings, documents_stage.load(artifact))
    check_plannable(settings, documents)
    if settings.engine == "openai-batch":
        log.info("plan: probe: not as a batch, which takes hours, but online and at that price")
        settings = settings.model_copy(update={"engine": "openai"})
    recipe = recipe_of(settings)
    with Ledger(project.ledger_path) as ledger:
        chosen = choose(documents, number)
        shares = shares_of(settings, documents, chosen)
        _announce(shares, chosen, recipe)
        for share in shares:
            _buy(share, recipe, ledger)


class Share(NamedTuple):
    """What one endpoint reads of a probe."""

    host: Host
    settings: GenerateConfig
    documents: list[Document]


def shares_of(
    settings: GenerateConfig, documents: Sequence[Document], chosen: Sequence[Document]
) -> list[Share]:
    """Who reads the chosen documents: whoever will read them when all are."""
    hosts = hosts_of(settings, documents)
    urls = base_urls(settings)
    own = [settings.model_copy(update={"base_url": url}) for url in urls] or [settings]
    shares = [
        Share(host, alone, [each for each in chosen if each.id in host.documents])
        for host, alone in zip(hosts, own, strict=True)
    ]
    return [share for share in shares if share.documents]


def parts_of(recipe: EntiGraph) -> list[EntiGraph]:
    """The recipe with its pairs only and with its triplets only, as far as it has either.

    Their calls are those of the whole recipe, which finds them in the ledger.
    """
    pairs, triplets = replace(recipe, triplets=0), replace(recipe, pairs=0)
    return [pairs] * (recipe.pairs != 0) + [triplets] * (recipe.triplets != 0)


def _buy(share: Share, recipe: EntiGraph, ledger: Ledger) -> None:
    counts = {document.id: PROBE_TEXTS for document in share.documents}
    bought: Counter[str] = Counter()
    for number, part in enumerate(parts_of(recipe)):
        totals = generation_run.run_generation(
            share.settings, share.documents, part, ledger, counts=counts
        ).totals
        came = Counter(totals.counts)
        if number:  # the openings were counted with the first part
            came.subtract(plan.totals(share.documents, part, ledger, {}).counts)
        bought += came
        kind = "triplets" if part.triplets else "pairs"
        what = kind if number else f"openings and {kind}"
        outcomes = [f"{count} {name}" for name, count in came.items() if count]
        log.info("plan: probe: %s: %s", what, ", ".join(outcomes))
        for failure in totals.failures:
            log.warning("plan: probe: %d x %s", failure.calls, failure.reason)
    log.info("plan: probe: %s in all", plural(bought["planned"], "call"))


def choose(documents: Sequence[Document], number: int) -> list[Document]:
    """So many documents, spread evenly over the lengths."""
    by_length = sorted(documents, key=lambda document: (len(document.text), document.id))
    number = min(number, len(by_length))
    return [by_length[(2 * i + 1) * len(by_length) // (2 * number)] for i in range(number)]


def _announce(shares: Sequence[Share], chosen: Sequence[Document], recipe: EntiGraph) -> None:
    worst = [_most_usd(share.documents, recipe, share.host.prices) for share in shares]
    known = [cost for cost in worst if cost is not None]
    cost = f"at most ${sum(known):,.4f}" if len(known) == len(shares) else "cost unknown"
    away = [(share.host.name, len(share.documents)) for share in shares if share.host.leaves]
    sent = " and ".join(f"{name} ({number} of them)" for name, number in away)
    log.info(
        "plan: probe: the openings and %s of %s, by %s; %s; %s",
        " and ".join(_kinds(recipe)) or "no texts",
        plural(len(chosen), "document"),
        recipe.model,
        f"sent to {sent if len(shares) > 1 else away[0][0]}" if away else NO_HOST,
        cost,
    )
    for document in chosen:
        log.info("  %s, %d characters: %s", document.id, len(document.text), document.title)


def _kinds(recipe: EntiGraph) -> list[str]:
    return [
        f"{PROBE_TEXTS} {'triplets' if part.triplets else 'pairs'}" for part in parts_of(recipe)
    ]


def _most_usd(documents: Sequence[Document], recipe: EntiGraph, prices: Prices) -> float | None:
    """What a probe costs at most, were every entity as long as one can be."""
    names = tuple(f"{LONGEST_NAME}{i}" for i in range(3))
    total = 0.0
    for document in documents:
        calls = [(recipe.opening(document, ()), recipe.entity_attempts)]
        for part in parts_of(recipe):
            longest = max(RelationCalls(part, document, names), key=_prompt_bound, default=None)
            calls.append((longest, PROBE_TEXTS))
        for call, times in calls:
            if call is None:
                continue
            most = Usage(call.prompt_bound, 0, call.answer_bound)
            cost = prices.cost_usd(most)
            if cost is None:
                return None
            total += times * cost
    return total


def _prompt_bound(call: Call) -> int:
    return call.prompt_bound
