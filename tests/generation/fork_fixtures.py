"""Processes that start at once: `pytest_plugins = ["fork_fixtures"]`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from forked import ForkServer


@pytest.fixture(scope="session")
def forks() -> Iterator[ForkServer]:
    """Starts generations that a test may kill."""
    server = ForkServer()
    yield server
    server.close()
