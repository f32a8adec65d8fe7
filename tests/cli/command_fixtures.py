"""Fixtures that the tests of the command line share: `pytest_plugins = ["command_fixtures"]`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from small_project import write_project
from steep_command import Steep

from steep.testing.scripted_server import ScriptedServer


@pytest.fixture(scope="session")
def steep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Steep]:
    """The command, in processes that start at once."""
    command = Steep(tmp_path_factory.mktemp("output"))
    yield command
    command.close()


@pytest.fixture(scope="session")
def server() -> Iterator[ScriptedServer]:
    """A well-behaved endpoint for all tests: those that count calls look at differences."""
    with ScriptedServer() as scripted:
        yield scripted


@pytest.fixture
def project(tmp_path: Path, server: ScriptedServer, tiny_directory: Path) -> Path:
    """A folder with a configuration in which nothing was done yet."""
    return write_project(tmp_path / "project", server.base_url, tiny_directory).parent
