"""Callers of servers on loopback, each with a ledger of its own."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path
from typing import Any

from steep.ledger.budget import Budget
from steep.ledger.caller import Caller
from steep.ledger.endpoint_worker import RetryPolicy
from steep.ledger.ledger import Ledger
from steep.llm.openai import OpenAIClient
from steep.llm.prices import Prices
from steep.llm.requests import RequestClient

SECTION = "evaluate.servers.m"
PATIENCE = RetryPolicy(pause_s=0.001, total_s=30.0)
_open: list[Ledger] = []


def short_lived_ledger() -> Ledger:
    """A ledger in a folder that goes with this process."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    ledger = Ledger(folder / "ledger.db")
    _open.append(ledger)
    return ledger


def close_ledgers() -> None:
    """Close the ledgers of the callers that a test has made."""
    while _open:
        _open.pop().close()


def calling(
    base_url: str,
    *,
    ledger: Ledger | None = None,
    budget: Budget | None = None,
    policy: RetryPolicy = PATIENCE,
    prices: Prices | None = None,
    section: str = SECTION,
    **options: Any,
) -> Caller:
    """Return a caller of a server; `options` are those of its client."""
    priced = prices or Prices()
    client = OpenAIClient(
        base_url, **{"concurrency": 4, "prices": priced, "section": section, **options}
    )
    return Caller(
        RequestClient(client),
        policy,
        priced,
        section,
        ledger or short_lived_ledger(),
        budget or Budget(),
    )
