"""The endpoints that an evaluation asks: one ledger and one budget for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from steep.config import Config
from steep.core.artifacts import Project
from steep.core.errors import UserError
from steep.generation.pricing import endpoint_prices, project_budget
from steep.ledger import requests
from steep.ledger.caller import Caller, Sends
from steep.ledger.config import EndpointConfig
from steep.ledger.endpoint_worker import RetryPolicy
from steep.ledger.ledger import Ledger
from steep.llm.address import checked_url
from steep.llm.prices import Prices

if TYPE_CHECKING:
    from steep.evaluation.engines import AnswerEngine
    from steep.ledger.budget import Budget


class Used(NamedTuple):
    """An endpoint that an evaluation asks.

    Attributes:
        section: Of the configuration.
        settings: What stands there.
        reads_only: It returns no text: an embedder or a reranker.
    """

    section: str
    settings: EndpointConfig
    reads_only: bool


def used_endpoints(config: Config) -> Iterator[Used]:
    """Yield the endpoints that this configuration evaluates with."""
    book, summaries = config.open_book, config.summaries
    if config.evaluate.questions is not None:
        for name, server in config.evaluate.servers.items():
            yield Used(f"evaluate.servers.{name}", server, False)
        for part in ("embedder", "reranker") if book.chunk_characters else ():
            server = getattr(book, f"{part}_server")
            if getattr(book, part) == "endpoint" and server is not None:
                yield Used(f"open_book.{part}_server", server, True)
    if summaries.references is not None and summaries.judge is not None:
        yield Used("summaries.judge", summaries.judge, False)


def prices_at(used: Used) -> Prices:
    """Return the prices of an endpoint."""
    settings = used.settings
    prices = endpoint_prices(settings, settings.model, settings.base_url)
    if used.reads_only and prices.usd_per_million_output_tokens is None:
        return replace(prices, usd_per_million_output_tokens=0.0)
    return prices


def check(config: Config) -> None:
    """Refuse a limit in dollars that could not be kept, before anything is spent.

    Raises:
        UserError: The price of an endpoint is not known.
    """
    if config.generate.max_cost_usd is None:
        return
    for used in used_endpoints(config):
        if not prices_at(used).known:
            raise UserError(
                "A limit in dollars needs prices, and there is none for this model.",
                where=f"{used.section}, generate.max_cost_usd",
                found=f"model '{used.settings.model}' at {used.settings.base_url}",
                hint=f"set {used.section}.usd_per_million_input_tokens and "
                "usd_per_million_output_tokens (0 for a server of your own)",
            )


class Callers:
    """Opens endpoints; the ledger is opened with the first of them, and closed with `with`."""

    def __init__(self, config: Config, project: Project) -> None:
        self._config, self._project = config, project
        self._used = {each.section: each for each in used_endpoints(config)}
        self._resources = ExitStack()
        self._shared: tuple[Ledger, Budget] | None = None
        self._open: dict[str, Caller] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._resources.close()

    def open(self, section: str) -> Sends:
        """Return what sends requests to the endpoint of a section of the configuration.

        Raises:
            UserError: Its address or key is not what it should be, or the ledger cannot be written.
        """
        if section not in self._open:
            self._open[section] = self._opened(self._used[section])
        return self._open[section]

    def engine(self, section: str, purpose: str) -> AnswerEngine:
        """Return the engine of a served model.

        Raises:
            UserError: As `open` does.
        """
        from steep.evaluation.http_engine import HttpEngine

        server: Any = self._used[section].settings
        return HttpEngine(self.open(section), server.model, purpose, server.endpoint)

    def _opened(self, used: Used) -> Caller:
        from steep.llm.openai import OpenAIClient
        from steep.llm.requests import RequestClient

        settings, prices = used.settings, prices_at(used)
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
            ledger = self._resources.enter_context(Ledger(self._project.ledger_path))
            self._shared = ledger, self._budget(ledger)
        return Caller(RequestClient(client, prices), policy, prices, used.section, *self._shared)

    def _budget(self, ledger: Ledger) -> Budget:
        """The limits of the project; requests that had no price count at today's."""
        budget = project_budget(self._config.generate, ledger)
        for used in self._used.values():
            endpoint = checked_url(used.settings.base_url, used.section)
            usage = requests.unpriced(ledger, endpoint, used.settings.model)
            budget.spent_usd += prices_at(used).cost_usd(usage) or 0.0
        return budget
