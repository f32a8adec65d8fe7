"""A finished result is used wherever it was computed; mixed results are called mixed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from steep.config import Config
from steep.core.artifacts import Artifact, Project, Unfinished
from steep.core.files import write_json
from steep.evaluation import environment, eval_models
from steep.evaluation.environment import environments_of, mixed
from steep.evaluation.eval_models import EvalModel
from steep.llm.local import devices as local_devices
from steep.report.sections.scaling import evaluated_on
from steep.stages.evaluate import setup_of
from steep.testing.tiny_model import make_tiny_model

GPU = {"device": "cuda", "torch": "2.11.0", "transformers": "5.17.0"}
LAPTOP = {"device": "cpu", "torch": "2.13.0", "transformers": "5.23.0"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_tiny_model(tmp_path / "model")
    return tmp_path


@pytest.fixture(autouse=True)
def _undo(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, LAPTOP)


def on(monkeypatch: pytest.MonkeyPatch, machine: dict[str, str]) -> None:
    """Pretend to be another machine."""
    monkeypatch.setattr(local_devices, "default_device", lambda: machine["device"])
    monkeypatch.setattr(environment, "version", machine.__getitem__)


def ask(
    root: Path,
    name: str = "base",
    *,
    precision: str = "auto",
    fields: dict[str, Any] | None = None,
    look: bool = False,
) -> Artifact:
    """Ask the model `name` in the folder `model`, or only look for its answers."""
    sections = {
        "documents": {"path": "documents"},
        "train": {"model": "model", "arms": {}},
        "evaluate": {"precision": precision},
    }
    project = Project(root, finished_only=look)
    model = EvalModel(name, setup_of(Config.model_validate(sections), project))

    def make(directory: Path) -> dict[str, Any]:
        write_json(directory / "rows.json", {})
        return {}

    return model.build("general-loss", 1, {"questions": 1, **(fields or {})}, make)


def devices(found: Sequence[Artifact]) -> list[str]:
    return [each.manifest["identity"]["fields"]["device"] for each in found]


def test_a_result_of_another_machine_is_not_computed_again(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    on(monkeypatch, GPU)
    made = ask(root)
    on(monkeypatch, LAPTOP)
    with caplog.at_level(logging.INFO):
        assert ask(root).path == ask(root, look=True).path == made.path
    assert f"done before on cuda, torch 2.11.0 ({made.path.name})" in caplog.text


def test_what_decides_a_result_must_be_equal(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, GPU)
    made = ask(root)
    on(monkeypatch, LAPTOP)
    with pytest.raises(Unfinished):
        ask(root, fields={"questions": 2}, look=True)
    with pytest.raises(Unfinished):
        ask(root, "other", look=True)
    with pytest.raises(Unfinished):
        ask(root, fields={"limit": None}, look=True)
    make_tiny_model(root / "model", seed=1)  # other weights
    with pytest.raises(Unfinished):
        ask(root, look=True)
    assert ask(root).path != made.path


def test_a_configured_precision_is_not_replaced_by_another(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(monkeypatch, GPU)
    half = ask(root, precision="bfloat16")
    on(monkeypatch, LAPTOP)
    assert ask(root, precision="bfloat16").path == half.path
    for precision in ("auto", "float32", "tf32"):
        with pytest.raises(Unfinished):
            ask(root, precision=precision, look=True)
    on(monkeypatch, GPU)
    assert ask(root).path == ask(root, precision="tf32", look=True).path
    with pytest.raises(Unfinished):
        ask(root, precision="float32", look=True)
    exact = ask(root, precision="float32")
    on(monkeypatch, LAPTOP)
    assert ask(root, precision="float32", look=True).path == exact.path


def test_models_are_compared_within_one_environment_where_that_is_possible(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = ask(root)
    on(monkeypatch, GPU)
    monkeypatch.setattr(eval_models, "find_finished", lambda *_: None)  # an earlier version of us
    there = [ask(root, name) for name in ("base", "raw")]
    monkeypatch.undo()
    on(monkeypatch, LAPTOP)
    assert devices([here, *there]) == ["cpu", "cuda", "cuda"]
    found = [ask(root, name, look=True) for name in ("base", "raw")]
    assert devices(found) == ["cuda", "cuda"] and mixed(environments_of(found)) is None
    assert evaluated_on(environments_of(found)) == (
        "Evaluated on cuda, float32 with TF32 products, torch 2.11.0, transformers 5.17.0: "
        "base, raw."
    )


def test_a_mixed_comparison_says_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, GPU)
    base = ask(root)
    on(monkeypatch, LAPTOP)
    found = environments_of([base, ask(root, "raw")])
    assert [each.models for each in found] == [("base",), ("raw",)]
    weights = base.manifest["identity"]["fields"]["weights"]
    assert found[0].weights == {"base": weights} and len(weights) == 16
    warning = mixed(found)
    assert warning is not None and "2 environments whose rounding differs" in warning
    assert "cuda" in warning and "cpu, float32" in warning and "evaluate.precision" in warning
