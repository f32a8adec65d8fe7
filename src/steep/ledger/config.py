"""Settings of calls to an endpoint: limits, retries, prices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from steep.core.config import Section, operational

if TYPE_CHECKING:
    from steep.llm.prices import Prices

ENVIRONMENT_NAME = r"^[A-Z_][A-Z0-9_]*$"  # upper case, so that hardly a key passes for a name


class CallConfig(Section):
    """Limits, retries and prices of the calls to an endpoint."""

    api_key_env: str | None = operational(
        None,
        pattern=ENVIRONMENT_NAME,
        description="environment variable that holds the API key, never the key itself",
    )
    concurrency: int = operational(
        16,
        ge=1,
        description="maximum concurrent requests per endpoint; reduced under overload",
    )
    requests_per_minute: float | None = operational(
        None, gt=0, description="per endpoint; null: no limit"
    )
    tokens_per_minute: float | None = operational(
        None, ge=1000, description="prompts and answers, per endpoint; null: no limit"
    )
    timeout_s: float = operational(300, gt=0, description="seconds per attempt")
    max_attempts: int = operational(
        6, ge=1, description="attempts per request, not counting rate-limit waits"
    )
    retry_minutes: float = operational(
        15, gt=0, description="minutes after which a request counts as failed"
    )
    usd_per_million_input_tokens: float | None = operational(
        None,
        ge=0,
        description="null: the list price, if known; an unknown price does not count as zero",
    )
    usd_per_million_cached_tokens: float | None = operational(
        None, ge=0, description="for prompt tokens found in the endpoint's cache"
    )
    usd_per_million_output_tokens: float | None = operational(
        None, ge=0, description="null: the list price, if known"
    )


class EndpointConfig(CallConfig):
    """An endpoint and the model to use there."""

    base_url: str = Field(description="base URL of an OpenAI-compatible server, including /v1")
    model: str = Field(description="model name at the server")


class ServerConfig(EndpointConfig):
    """An endpoint that serves a model under evaluation."""

    endpoint: Literal["completions", "chat"] = Field(
        "completions",
        description="completions: continue the prompt as it is; chat: send it as one message",
    )


def endpoint_prices(settings: CallConfig, model: str, base_url: str) -> Prices:
    """Return the prices of a model at an endpoint: as configured, else as listed."""
    from steep.llm.prices import PRICE_FIELDS, Prices, find_prices

    return find_prices(
        model, base_url, Prices(**{name: getattr(settings, name) for name in PRICE_FIELDS})
    )
