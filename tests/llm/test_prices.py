"""List prices by model and host, the configuration before them, and unknown is never zero."""

from __future__ import annotations

import subprocess
import sys

import pytest

from steep.core.calls import Usage
from steep.llm.prices import Prices, find_prices

OPENAI = "https://api.openai.com/v1"
NONE = Prices()
USAGE = Usage(prompt_tokens=1_000_000, cached_tokens=400_000, completion_tokens=500_000)


def test_cached_tokens_have_their_own_price_or_that_of_the_others() -> None:
    prices = Prices(usd_per_million_input_tokens=2.0, usd_per_million_output_tokens=8.0)
    assert prices.cost_usd(USAGE) == pytest.approx(2.0 + 4.0)
    cheaper = Prices(
        usd_per_million_input_tokens=2.0,
        usd_per_million_cached_tokens=0.5,
        usd_per_million_output_tokens=8.0,
    )
    assert cheaper.cost_usd(USAGE) == pytest.approx(0.6 * 2.0 + 0.4 * 0.5 + 4.0)


@pytest.mark.parametrize(
    "prices",
    [
        NONE,
        Prices(usd_per_million_input_tokens=1.0),
        Prices(usd_per_million_output_tokens=1.0, usd_per_million_cached_tokens=1.0),
    ],
)
def test_an_unknown_price_gives_no_cost(prices: Prices) -> None:
    assert not prices.known
    assert prices.cost_usd(USAGE) is None
    assert prices.scaled(0.5).cost_usd(USAGE) is None


def test_nothing_is_a_price() -> None:
    free = Prices(usd_per_million_input_tokens=0.0, usd_per_million_output_tokens=0.0)
    assert free.known and free.cost_usd(USAGE) == 0.0


def test_batches_are_cheaper_in_all_parts() -> None:
    prices = find_prices("gpt-4.1", OPENAI, NONE)
    half, full = prices.scaled(0.5).cost_usd(USAGE), prices.cost_usd(USAGE)
    assert half is not None and full is not None
    assert half == pytest.approx(full / 2)
    assert prices.scaled(0.5).source == prices.source


def test_list_prices_are_found_by_model_and_host() -> None:
    prices = find_prices("gpt-4-turbo", OPENAI, NONE)  # retired: its price changes no more
    assert prices.usd_per_million_input_tokens == 10.0
    assert prices.usd_per_million_output_tokens == 30.0
    assert prices.usd_per_million_cached_tokens is None
    assert prices.source.startswith("genai-prices ")
    dated = find_prices("gpt-4o-mini-2024-07-18", OPENAI, NONE)
    assert dated.known and dated.usd_per_million_cached_tokens is not None


@pytest.mark.parametrize(
    ("model", "base_url"),
    [
        ("gpt-4-turbo", "http://localhost:8000/v1"),  # a name proves nothing about the host
        ("gpt-4-turbo", "http://gpu-7.example:8000/v1"),
        ("our-own-model", OPENAI),
    ],
)
def test_what_is_in_no_list_has_no_price(model: str, base_url: str) -> None:
    prices = find_prices(model, base_url, NONE)
    assert prices == NONE and prices.source == "unknown"


def test_a_model_that_writes_nothing_has_no_price_for_answers() -> None:
    prices = find_prices("text-embedding-3-small", OPENAI, NONE)
    assert prices.usd_per_million_output_tokens is None
    assert not prices.known


def test_where_long_prompts_are_dearer_the_price_is_that_of_the_others() -> None:
    prices = find_prices("gemini-2.5-pro", "https://generativelanguage.googleapis.com/v1", NONE)
    assert prices.usd_per_million_input_tokens == 1.25


def test_the_configuration_comes_first_field_by_field() -> None:
    given = Prices(usd_per_million_output_tokens=1.0)
    prices = find_prices("gpt-4-turbo", OPENAI, given)
    assert prices.usd_per_million_input_tokens == 10.0
    assert prices.usd_per_million_output_tokens == 1.0
    assert prices.source.startswith("configured and genai-prices ")
    nowhere = find_prices("our-own-model", OPENAI, given)
    assert (nowhere.known, nowhere.source) == (False, "configured")
    both = Prices(usd_per_million_input_tokens=0.0, usd_per_million_output_tokens=1.0)
    assert find_prices("gpt-4-turbo", OPENAI, both).source == "configured"


def test_the_list_is_not_read_before_it_is_asked_for() -> None:
    program = "import sys, steep.llm.prices; print('genai_prices' in sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "False"
