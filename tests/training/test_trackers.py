"""Trackers with their own packages, which the tests do not install: a run, killed and resumed."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from pathlib import Path

import pytest

from steep.training.config import TrackerName
from steep.training.metrics import trackers


def needs(name: str) -> pytest.MarkDecorator:
    missing = importlib.util.find_spec(name) is None
    return pytest.mark.skipif(missing, reason=f"{name} is not installed")


def log_twice(name: TrackerName, directory: Path) -> None:
    """Steps 1 to 3, then, as after a kill, 3 and 4."""
    directory.mkdir(exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs, not ours
        for steps in ((1, 2, 3), (3, 4)):
            with trackers([name], directory, "a run") as log:
                for step in steps:
                    log({"loss": 10.0 - step, "lr": 1e-4, "row": "no number"}, step)


@needs("tensorboard")
def test_tensorboard_has_every_step(tmp_path: Path) -> None:
    log_twice("tensorboard", tmp_path)
    read = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    events = read.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert events.Tags()["scalars"] == ["loss", "lr"]
    found = {each.step: each.value for each in events.Scalars("loss")}
    assert found == {step: pytest.approx(10.0 - step) for step in (1, 2, 3, 4)}


@needs("wandb")
def test_wandb_takes_a_run_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    log_twice("wandb", tmp_path / "train-12345678")
    runs = [*(tmp_path / "train-12345678" / "wandb").glob("offline-run-*")]
    assert runs and all(run.name.endswith("train-12345678") for run in runs)


@needs("trackio")
def test_trackio_takes_a_run_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    log_twice("trackio", tmp_path)
    assert [*(tmp_path / "trackio").glob("steep*")]
