"""The endpoints that an evaluation asks: one ledger and one budget for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from steep.core.errors import UserError
from steep.evaluation.setup import EvaluationSetup
from steep.ledger import requests
from steep.ledger.caller import Caller, Sends
from steep.ledger.config import EndpointConfig, endpoint_prices
from steep.ledger.endpoint_worker import RetryPolicy
from steep.ledger.ledger import Ledger
from steep.llm.address import checked_url
from steep.llm.prices import Prices

if TYPE_CHECKING:
    from steep.evaluation.engines import AnswerEngine
    from steep.ledger.budget import Budget


SHORT_ANSWER_JUDGE = "evaluate.short_answer_judge"


class EndpointUse(NamedTuple):
    """An endpoint that an evaluation asks."""

    section: str
    settings: EndpointConfig
    reads_only: bool  # True for an embedder or a reranker, which return no text

    @property
    def prices(self) -> Prices:
        """The prices of the endpoint."""
        prices = endpoint_prices(self.settings, self.settings.model, self.settings.base_url)
        if self.reads_only and prices.usd_per_million_output_tokens is None:
            return replace(prices, usd_per_million_output_tokens=0.0)
        return prices


def used_endpoints(setup: EvaluationSetup) -> Iterator[EndpointUse]:
    """Yield the endpoints that this evaluation asks."""
    book, summaries = setup.open_book, setup.summaries
    if setup.evaluate.questions is not None:
        for name, server in setup.evaluate.servers.items():
            yield EndpointUse(f"evaluate.servers.{name}", server, False)
        judge = setup.evaluate.short_answer_judge
        if judge is not None and "short-answers" in setup.evaluate.methods:
            yield EndpointUse(SHORT_ANSWER_JUDGE, judge, False)
        parts = ["embedder", "reranker"] if book.chunk_characters else []
        if not parts and setup.contamination.check and setup.contamination.similarity is not None:
            parts = ["embedder"]
        for part in parts:
            server = getattr(book, f"{part}_server")
            if getattr(book, part) == "endpoint" and server is not None:
                yield EndpointUse(f"open_book.{part}_server", server, True)
    if summaries.references is not None and summaries.judge is not None:
        yield EndpointUse("summaries.judge", summaries.judge, False)
    if setup.faithfulness.judge is not None:
        yield EndpointUse("faithfulness.judge", setup.faithfulness.judge, False)


def check_prices(setup: EvaluationSetup) -> None:
    """Check that a limit in dollars can be kept, before anything is spent.

    Raises:
        UserError: There is a limit, and the price of an endpoint is unknown.
    """
    if setup.max_cost_usd is not None:
        for used in used_endpoints(setup):
            check_price(used, "generate.max_cost_usd")


def check_price(used: EndpointUse, limit: str) -> None:
    """Check that the price of an endpoint is known, for a limit in dollars.

    Raises:
        UserError: It is unknown.
    """
    if used.prices.known:
        return
    raise UserError(
        "A limit in dollars needs prices, and there is none for this model.",
        where=f"{used.section}, {limit}",
        found=f"model '{used.settings.model}' at {used.settings.base_url}",
        hint=f"set {used.section}.usd_per_million_input_tokens and "
        "usd_per_million_output_tokens (0 for a server of your own)",
    )


class PurposeLimit:
    """A limit in dollars on the requests for one purpose, within the limits of the project.

    Attributes:
        is_lower: Whether this limit, and not one of the project, ends the work.
    """

    def __init__(self, setup: EvaluationSetup, purpose: str, max_cost_usd: float | None) -> None:
        self._setup, self._purpose, self._most = setup, purpose, max_cost_usd
        self.is_lower = False

    def open_budget(self, ledger: Ledger) -> Budget:
        """Return the limits of the project, or what is left of this limit if that is less."""
        budget = self._setup.open_budget(ledger)
        if self._most is not None:
            spent = requests.held(ledger, self._purpose).cost_usd or 0.0
            limit = budget.spent_usd + max(0.0, self._most - spent)
            self.is_lower = budget.max_cost_usd is None or limit < budget.max_cost_usd
            if self.is_lower:
                budget.max_cost_usd = limit
        return budget


class Callers:
    """Opens endpoints on demand, and the ledger with the first; used in a `with` statement.

    By default the endpoints are those of the evaluation.
    """

    def __init__(
        self, setup: EvaluationSetup, endpoints: Iterable[EndpointUse] | None = None
    ) -> None:
        used = used_endpoints(setup) if endpoints is None else endpoints
        self._setup = setup
        self._used = {each.section: each for each in used}
        self._resources = ExitStack()
        self._shared: tuple[Ledger, Budget] | None = None
        self._open: dict[str, Caller] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._resources.close()

    def open(self, section: str) -> Sends:
        """Return the caller for the endpoint of a section of the configuration.

        Raises:
            UserError: Its address or key is invalid, or the ledger cannot be written.
        """
        if section not in self._open:
            self._open[section] = self._opened(self._used[section])
        return self._open[section]

    def engine(self, section: str, purpose: str) -> AnswerEngine:
        """Return the engine of a served model."""
        from steep.evaluation.http_engine import HttpEngine

        server: Any = self._used[section].settings
        return HttpEngine(self.open(section), server.model, purpose, server.endpoint)

    @property
    def spent_usd(self) -> float:
        """The dollars that the project has spent so far, with the requests of this process."""
        return self._shared[1].spent_usd if self._shared else 0.0

    def costs(self) -> list[requests.PurposeCost]:
        """Return what was spent on each purpose in the project; nothing if no endpoint is open."""
        return requests.costs(self._shared[0]) if self._shared else []

    def _opened(self, used: EndpointUse) -> Caller:
        from steep.llm.openai import OpenAIClient
        from steep.llm.requests import RequestClient

        settings, prices = used.settings, used.prices
        client = OpenAIClient(
            settings.base_url,
            api_key_env=settings.api_key_env,
            concurrency=settings.concurrency,
            timeout_s=settings.timeout_s,
            prices=prices,
            section=used.section,
        )
        policy = RetryPolicy(
            max_attempts=settings.max_attempts,
            total_s=60 * settings.retry_minutes,
            requests_per_minute=settings.requests_per_minute,
            tokens_per_minute=settings.tokens_per_minute,
        )
        if self._shared is None:
            ledger = self._resources.enter_context(Ledger(self._setup.project.ledger_path))
            self._shared = ledger, self._budget(ledger)
        return Caller(RequestClient(client), policy, prices, used.section, *self._shared)

    def _budget(self, ledger: Ledger) -> Budget:
        """Return the limits of the project; requests without a price count at today's price."""
        budget = self._setup.open_budget(ledger)
        for used in self._used.values():
            endpoint = checked_url(used.settings.base_url, used.section)
            usage = requests.unpriced(ledger, endpoint, used.settings.model)
            budget.spent_usd += used.prices.cost_usd(usage) or 0.0
        return budget
