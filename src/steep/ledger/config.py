"""Settings of calls to an endpoint: limits, retries, prices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from steep.core.config import Section, operational

if TYPE_CHECKING:
    from steep.llm.prices import Prices

ENVIRONMENT_NAME = r"^[A-Z_][A-Z0-9_]*$"  # upper case, so that hardly a key passes for a name


class CallConfig(Section):
    """How an endpoint is called, and what it costs."""

    api_key_env: str | None = operational(
        None,
        pattern=ENVIRONMENT_NAME,
        description="name of the environment variable that holds the key, never the key",
    )
    concurrency: int = operational(
        16,
        ge=1,
        description="requests in flight at most; fewer while it is overloaded",
    )
    requests_per_minute: float | None = operational(
        None, gt=0, description="an endpoint; null: no limit"
    )
    tokens_per_minute: float | None = operational(
        None, ge=1000, description="an endpoint, prompts and answers; null: no limit"
    )
    timeout_s: float = operational(300, gt=0, description="of one attempt, seconds")
    max_attempts: int = operational(
        6, ge=1, description="tries of a request; a request to wait is no try"
    )
    retry_minutes: float = operational(
        15, gt=0, description="after which a request counts as failed"
    )
    usd_per_million_input_tokens: float | None = operational(
        None, ge=0, description="null: the list price, if known; an unknown price is not zero"
    )
    usd_per_million_cached_tokens: float | None = operational(
        None, ge=0, description="of prompt tokens that the endpoint had cached"
    )
    usd_per_million_output_tokens: float | None = operational(None, ge=0)


class EndpointConfig(CallConfig):
    """An endpoint, and the model that is wanted of it."""

    base_url: str = Field(description="of an OpenAI-compatible server, up to and with /v1")
    model: str = Field(description="the name that the server knows it by")


class ServerConfig(EndpointConfig):
    """An endpoint that serves a model to be asked."""

    endpoint: Literal["completions", "chat"] = Field(
        "completions", description="completions continues a prompt as it is; chat: one message"
    )


def endpoint_prices(settings: CallConfig, model: str, base_url: str) -> Prices:
    """Return the prices of a model at an endpoint: as configured, else as listed."""
    from steep.llm.prices import Prices, find_prices

    overrides = Prices(
        usd_per_million_input_tokens=settings.usd_per_million_input_tokens,
        usd_per_million_cached_tokens=settings.usd_per_million_cached_tokens,
        usd_per_million_output_tokens=settings.usd_per_million_output_tokens,
    )
    return find_prices(model, base_url, overrides)
