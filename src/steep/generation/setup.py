"""The recipes, the plan, the endpoints, the prices and the budget of a configuration."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from steep.core.calls import Sampling
from steep.core.config import identity_fields
from steep.core.errors import UserError
from steep.core.ids import stable_hash
from steep.documents.document import Document
from steep.generation.config import GenerateConfig
from steep.generation.new_information import WINDOW_CALLS, NewInformation
from steep.generation.plan import PlanView
from steep.ledger import queries, requests
from steep.ledger.budget import Budget, refusal_bound, reservation
from steep.ledger.config import endpoint_prices
from steep.ledger.ledger import Ledger
from steep.llm.prices import Prices
from steep.recipes.recipe import Recipe, Writer
from steep.recipes.registry import make_recipe

HTTP_ENGINES = ("openai", "openai-batch")
FREE = Prices(
    usd_per_million_input_tokens=0.0,
    usd_per_million_cached_tokens=0.0,
    usd_per_million_output_tokens=0.0,
    source="a model in this process",
)


def answer_limit(settings: GenerateConfig) -> int:
    """Return the maximum tokens of an answer with its reasoning."""
    return settings.max_tokens + settings.reasoning_tokens


def recipes_of(settings: GenerateConfig) -> tuple[Recipe, ...]:
    """Return the recipes that a configuration names, in its order."""
    sampling = Sampling(
        temperature=settings.temperature,
        top_p=settings.top_p,
        max_tokens=answer_limit(settings),
        frequency_penalty=settings.frequency_penalty,
    )
    writer = Writer(settings.model, sampling, settings.seed, settings.reasoning_tokens)
    return tuple(make_recipe(name, options, writer) for name, options in settings.recipes.items())


def plan_view(settings: GenerateConfig, documents: Sequence[Document], ledger: Ledger) -> PlanView:
    """Return the plan of a configuration for documents."""
    stop, fields = settings.stop_when, identity_fields("generate", settings)
    key = stable_hash([fields, [document.id for document in documents]], 8)
    information = NewInformation(
        ledger,
        ledger.path.with_name(f"new-information-{key}.npz"),
        stop.calls if stop else WINDOW_CALLS,
        stop.new_information if stop else None,
    )
    recipes = recipes_of(settings)
    return PlanView(documents, recipes, ledger, settings.target_tokens, information=information)


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


def base_urls(settings: GenerateConfig) -> tuple[str, ...]:
    """Return the endpoints of a configuration; none for a model in this process."""
    if settings.engine not in HTTP_ENGINES:
        return ()
    urls = settings.base_url
    return (urls,) if isinstance(urls, str) else urls


def prices_of(settings: GenerateConfig, base_url: str | None) -> Prices:
    """Return the prices at an endpoint; None stands for a model in this process, which is free."""
    if base_url is None:
        return FREE
    prices = endpoint_prices(settings, settings.model, base_url)
    return prices.scaled(settings.batch_price_factor if settings.engine == "openai-batch" else 1.0)


def budget_of(settings: GenerateConfig, ledger: Ledger) -> Budget:
    """Return the budget of a generation: the limits, less what the project has spent.

    Raises:
        UserError: There is a limit in dollars, but no price.
    """
    if settings.max_cost_usd is not None:
        unknown = [url for url in base_urls(settings) if not prices_of(settings, url).known]
        if unknown:
            raise UserError(
                "A limit in dollars needs prices, and none is known for this model.",
                where="generate.max_cost_usd",
                found=f"model '{settings.model}' at {', '.join(unknown)}",
                hint="set generate.usd_per_million_input_tokens and "
                "generate.usd_per_million_output_tokens, or generate.max_total_tokens instead",
            )
    return project_budget(settings, ledger)


def project_budget(settings: GenerateConfig, ledger: Ledger) -> Budget:
    """Return the limits of the project, less all that it has spent."""
    budget = Budget(settings.max_total_tokens, settings.max_cost_usd)
    _count_spent(budget, prices_of(settings, next(iter(base_urls(settings)), None)), ledger)
    return budget


def _count_spent(budget: Budget, prices: Prices, ledger: Ledger) -> None:
    """Charge what the project has spent, at its upper bound where it is unknown.

    Answers without a cost are charged at the current prices; answers without a token count and
    lost attempts are charged at the most that they can have used.
    """
    spending, lost = ledger.usage(), ledger.lost()
    usage = spending.usage
    asked = requests.held(ledger)
    budget.spent_tokens = usage.prompt_tokens + usage.completion_tokens + lost.tokens + asked.tokens
    budget.spent_usd = spending.known_usd + lost.cost_usd + (asked.cost_usd or 0.0)
    budget.spent_usd += prices.cost_usd(spending.unpriced_usage) or 0.0
    for group in queries.uncounted(ledger):
        most = (refusal_bound if group.refused else reservation)(group.longest, prices)
        budget.spent_tokens += group.calls * most.tokens - group.completion_tokens
        budget.spent_usd += group.calls * (most.cost_usd or 0.0)
