"""What all tests share: a model of two layers on disk, and deterministic property tests."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import shutil
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import find, settings
from hypothesis.strategies import none

from hub_server import Hub, running_hub
from steep.ledger.ledger import Ledger
from steep.testing.tiny_model import make_tiny_model

if TYPE_CHECKING:
    from playwright.sync_api import Browser

with contextlib.suppress(ImportError), warnings.catch_warnings(action="ignore"):
    # PyTorch's compiler imports it. It replaces distutils, which has to happen before any test
    # imports distutils (Python 3.11).
    importlib.import_module("setuptools")

if "STEEP_TEST_DEVICE" not in os.environ:  # of tests/training/test_on_gpu.py; others use no GPU
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
if "PYTEST_XDIST_WORKER" in os.environ:  # one core per worker, and for the processes it starts
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# The same examples in every run, and no limit on the time of one: a busy machine is no bug.
settings.register_profile("steep", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("steep")


CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


def pytest_collection_finish() -> None:
    # Hypothesis warns if it does not find what refers to its random generator, and from Python
    # 3.14 on frozen objects are not found: this registers it before.
    find(none(), lambda value: True)
    gc.collect()
    gc.freeze()  # or each collection of a test would visit the objects of all modules


@pytest.fixture(scope="session")
def tiny_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """An empty ledger, open for writing."""
    with Ledger(tmp_path / "ledger.db") as ledger:
        yield ledger


@pytest.fixture(autouse=True)
def close_ledgers() -> Iterator[None]:
    """Close the ledgers of callers (`calling.py`), if any test has made one."""
    yield
    if calling := sys.modules.get("calling"):
        calling.close_ledgers()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A stand-in for the Hugging Face Hub, with a token for it in the environment."""
    with running_hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", "secret")
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return the Chromium of this machine: one per module, which also ends its event loop."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()
