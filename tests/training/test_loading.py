from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, BertConfig, BertForMaskedLM

from steep.core.artifacts import Project
from steep.core.errors import UserError
from steep.training import models
from steep.training.loading import check_model_directory

WEIGHTS = "model.safetensors"


@pytest.fixture
def directory(tmp_path: Path, tiny_directory: Path) -> Path:
    return Path(shutil.copytree(tiny_directory, tmp_path / "model"))


def complaint(directory: Path) -> str:
    with pytest.raises(UserError) as caught:
        check_model_directory(directory)
    return str(caught.value)


def change_config(directory: Path, **settings: object) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))


def rewrite(directory: Path, change: str, value: float | None) -> None:
    """Set one number of the first tensor with this name, or leave the tensor out."""
    state = load_file(directory / WEIGHTS)
    name = next(name for name in state if change in name)
    if value is None:
        del state[name]
    else:
        state[name].flatten()[0] = value
    save_file(state, directory / WEIGHTS, metadata={"format": "pt"})


def test_a_sound_model_passes(directory: Path) -> None:
    check_model_directory(directory)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_the_models_fault(directory: Path, value: float) -> None:
    rewrite(directory, "up_proj", value)
    said = complaint(directory)
    assert said.startswith("The model has weights that are NaN or infinite")
    assert WEIGHTS in said
    assert "up_proj" in said


def test_a_parameter_without_weights_is_named(directory: Path) -> None:
    rewrite(directory, "down_proj", None)
    said = complaint(directory)
    assert "no weights for 1 of its parameters" in said
    assert "layers.0.mlp.down_proj" in said


@pytest.mark.parametrize("data", [b"", b"version https://git-lfs.github.com/spec/v1\n"])
def test_a_file_of_weights_that_is_none_is_said(directory: Path, data: bytes) -> None:
    (directory / WEIGHTS).write_bytes(data)
    assert complaint(directory).startswith("Cannot load the model")
    (directory / WEIGHTS).unlink()
    assert complaint(directory).startswith("Cannot load the model")


def test_a_pointer_of_git_lfs_is_told_from_a_broken_file(directory: Path) -> None:
    (directory / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\n")
    said = complaint(directory)
    assert f"pointers of Git LFS instead of the files: {WEIGHTS}" in said
    assert "git lfs pull" in said


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"hidden_size": "64"}, "Field 'hidden_size' expected int"),
        ({"num_attention_heads": 7}, "not a multiple"),
        ({"dtype": "float99"}, "float99"),
        ({"vocab_size": 50}, "other sizes than its config.json says"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_configuration_that_fits_no_model_is_explained(
    directory: Path, settings: dict[str, object], found: str
) -> None:
    change_config(directory, **settings)
    said = complaint(directory)
    assert said.startswith("Cannot load the")
    assert found in said


def test_tensors_that_the_configuration_leaves_out_are_told(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    change_config(directory, num_hidden_layers=1)
    check_model_directory(directory)
    assert "has no place for 9 of the tensors" in caplog.text
    assert "layers.1" in caplog.text


def test_code_in_the_directory_is_never_run(directory: Path) -> None:
    own = {"AutoConfig": "configuration_own.Own"}
    change_config(directory, model_type="homemade", auto_map=own)
    (directory / "configuration_own.py").write_text("raise SystemExit('this ran')\n")
    said = complaint(directory)
    assert "Python code of its own" in said
    assert "runs no code from a model's directory" in said


def test_an_encoder_is_no_decoder(tmp_path: Path) -> None:
    config = BertConfig(
        vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=8,
    )  # fmt: skip
    BertForMaskedLM(config).save_pretrained(tmp_path)
    said = complaint(tmp_path)
    assert "not a causal language model" in said
    assert "BertForMaskedLM" in said


def test_pickled_weights_are_checked_and_told(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = AutoModelForCausalLM.from_pretrained(directory).state_dict()
    (directory / WEIGHTS).unlink()
    torch.save(state, directory / "pytorch_model.bin")
    check_model_directory(directory)
    assert "pickled weights" in caplog.text
    with pytest.raises(UserError, match="reads models in safetensors only"):
        models.check_safetensors(directory, "train.add_task_vector")
    next(iter(state.values())).flatten()[0] = float("nan")
    torch.save(state, directory / "pytorch_model.bin")
    assert "NaN or infinite" in complaint(directory)


def test_a_model_is_read_again_only_when_a_file_has_changed(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    monkeypatch.setattr(models, "check_model_directory", read.append)
    project = Project(directory.parent)
    for _ in range(2):
        models.check_model(project.root / "model", project)
    assert read == [directory.resolve()]
    rewrite(directory, "up_proj", 1.0)
    models.check_model(project.root / "model", project)
    assert len(read) == 2


def test_a_model_without_its_tokenizer_is_refused_before_anything_is_spent(
    directory: Path,
) -> None:
    AutoTokenizer.from_pretrained(directory)
    for path in directory.glob("*token*"):
        path.unlink()
    with pytest.raises(UserError, match="Cannot load the tokenizer"):
        models.check_model(directory.parent / "model", Project(directory.parent))
