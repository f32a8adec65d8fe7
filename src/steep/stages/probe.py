"""`steep plan --probe N`: buy a little of some documents, so that the plan for all is a good one.

What is bought stays in the ledger, as any other calls do; nothing is lost.
"""

from __future__ import annotations

from collections.abc import Sequence

from steep.config import Config, GenerateConfig
from steep.core.calls import Usage
from steep.documents.document import Document
from steep.generation.estimate import prompt_bound
from steep.generation.ledger import Ledger
from steep.llm.prices import Prices
from steep.project import Project
from steep.recipes.entigraph import EntiGraph, RelationCalls
from steep.stages import documents as documents_stage
from steep.stages import making
from steep.stages.generate import recipe_of
from steep.stages.harness import log
from steep.stages.plan import NO_HOST, check_plannable, hosts_of

PROBE_RELATIONS = 4  # texts of each document
LONGEST_NAME = "N" * 80  # characters that an entity may have at most


def probe(config: Config, project: Project, number: int) -> None:
    """Buy the openings and a few texts of some documents, so that a plan knows what they take.

    They are bought as any others are, and stay in the ledger. What is sent where, and what it may
    cost at most, is logged before.

    Raises:
        UserError: The generator cannot be used, or there is no price for a limit in dollars.
    """
    artifact = documents_stage.run(config, project)
    documents = documents_stage.load(artifact)
    settings = config.generate
    check_plannable(settings, documents)
    if settings.engine == "openai-batch":
        log.info("plan: probe: not as a batch, which takes hours, but online and at that price")
        settings = settings.model_copy(update={"engine": "openai"})
    recipe = recipe_of(settings)
    with Ledger(project.ledger_path) as ledger:
        chosen = choose(documents, number)
        _announce(settings, chosen, recipe)
        counts = {document.id: PROBE_RELATIONS for document in chosen}
        made = making.make(settings, chosen, recipe, ledger, counts=counts)
    counts_ = made.totals.counts
    log.info(
        "plan: probe: %s",
        ", ".join(f"{count} {name}" for name, count in counts_.items() if count),
    )
    for failure in made.totals.failures:
        log.warning("plan: probe: %d x %s", failure.calls, failure.reason)


def choose(documents: Sequence[Document], number: int) -> list[Document]:
    """So many documents, spread evenly over the lengths."""
    by_length = sorted(documents, key=lambda document: (len(document.text), document.id))
    number = min(number, len(by_length))
    return [by_length[(2 * i + 1) * len(by_length) // (2 * number)] for i in range(number)]


def _announce(settings: GenerateConfig, chosen: Sequence[Document], recipe: EntiGraph) -> None:
    hosts = hosts_of(settings)
    worst = [_most_usd(chosen, recipe, host.prices) for host in hosts]
    known = [cost for cost in worst if cost is not None]
    cost = f"at most ${max(known):,.4f}" if len(known) == len(hosts) else "cost unknown"
    away = " or ".join(host.name for host in hosts if host.leaves)
    log.info(
        "plan: probe: the openings and %d texts of %d documents, by %s; %s; %s",
        PROBE_RELATIONS,
        len(chosen),
        settings.model,
        f"sent to {away}" if away else NO_HOST,
        cost,
    )
    for document in chosen:
        log.info("  %s, %d characters: %s", document.id, len(document.text), document.title)


def _most_usd(documents: Sequence[Document], recipe: EntiGraph, prices: Prices) -> float | None:
    """What a probe costs at most, were every entity as long as one can be."""
    total = 0.0
    for document in documents:
        opening = recipe.opening(document, ())
        names = tuple(f"{LONGEST_NAME}{i}" for i in range(3))
        longest = [call for call in RelationCalls(recipe, document, names)]
        texts = max(longest, key=prompt_bound, default=None)
        for call, times in ((opening, recipe.entity_attempts), (texts, PROBE_RELATIONS)):
            if call is None:
                continue
            most = Usage(prompt_bound(call), 0, call.sampling.max_tokens)
            cost = prices.cost_usd(most)
            if cost is None:
                return None
            total += times * cost
    return total
