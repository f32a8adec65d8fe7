"""The wheel and the source distribution, built from this tree without a network."""

from __future__ import annotations

import email
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from pathlib import Path
from typing import NamedTuple

import pytest

import steep
from steep.core import extras
from steep.core.extras import extra_of

ROOT = Path(__file__).parents[1]
NEVER = {
    ".git", ".venv", ".steep", "runs", "steep-demo", "dist", "__pycache__", ".pytest_cache",
    ".mypy_cache", ".ruff_cache", ".hypothesis",
}  # fmt: skip
IN_SOURCE_DISTRIBUTION = {
    "CHANGELOG.md", "Dockerfile", "LICENSE", "LOG.md", "Makefile", "README.md", "constraints.txt",
    "docs/install.md", "examples/world/README.md", "pyproject.toml", "tests/conftest.py",
    "tests/test_packaging.py",
}  # fmt: skip


class Built(NamedTuple):
    wheel: Path
    source: Path


def build(tree: Path, folder: Path, *targets: str) -> None:
    """Run the build backend as a build frontend does, but without an environment of its own."""
    options = [part for target in targets for part in ("-t", target)]
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder), *options]
    subprocess.run(command, cwd=tree, check=True, capture_output=True)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("dist")
    build(ROOT, folder, "wheel", "sdist")
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return Built(wheel, source)


@pytest.fixture(scope="module")
def metadata(built: Built) -> Message:
    with zipfile.ZipFile(built.wheel) as wheel:
        (name,) = (each for each in wheel.namelist() if each.endswith("METADATA"))
        return email.message_from_bytes(wheel.read(name))


def record(wheel: Path) -> set[str]:
    """Return the files of a wheel with their hashes."""
    with zipfile.ZipFile(wheel) as opened:
        (name,) = (each for each in opened.namelist() if each.endswith("RECORD"))
        return set(opened.read(name).decode().splitlines())


def test_the_wheel_has_the_package_and_nothing_else(built: Built) -> None:
    package = ROOT / "src"
    files = {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()}
    expected = {name for name in files if not NEVER & set(name.split("/"))}
    with zipfile.ZipFile(built.wheel) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == expected
    assert {"steep/py.typed", "steep/demo/steep.yaml", "steep/report/scripts/tables.js"} <= names


def test_the_source_distribution_builds_the_same_wheel(built: Built, tmp_path: Path) -> None:
    with tarfile.open(built.source) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
        source.extractall(tmp_path, filter="data")
    assert names >= IN_SOURCE_DISTRIBUTION
    assert not [name for name in names if NEVER & set(name.split("/"))]
    (tree,) = tmp_path.iterdir()
    build(tree, tmp_path, "wheel")
    assert record(*tmp_path.glob("*.whl")) == record(built.wheel)


def test_the_image_is_built_from_all_that_the_wheel_needs(built: Built, tmp_path: Path) -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in lines
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in (line[1:] for line in lines if line.startswith("!")):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tree / name)
    build(tree, tmp_path, "wheel")
    assert record(*tmp_path.glob("*.whl")) == record(built.wheel)


def test_the_version_has_one_place(metadata: Message) -> None:
    assert metadata["Version"] == steep.__version__
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert not re.search(r"^version *=", project, re.MULTILINE)
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.findall(r"^## \[(.+?)\]", changes, re.MULTILINE)[0]
    assert newest in ("Unreleased", steep.__version__)


def test_the_long_description_links_only_to_addresses(metadata: Message) -> None:
    text = metadata.get_payload()
    assert isinstance(text, str) and text.lstrip().startswith("# Steep")
    assert "![" not in text
    assert [target for target in re.findall(r"\]\((.*?)\)", text) if "://" not in target] == []
    assert metadata["Description-Content-Type"] == "text/markdown"


def test_the_metadata_names_the_tested_versions_of_python(metadata: Message) -> None:
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(metadata.get_all("Classifier", [])))
    assert named == ["3.11", "3.12", "3.13", "3.14"]
    assert metadata["Requires-Python"] == f">={named[0]}"
    guide = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    assert [version for version in named if f"| {version} |" not in guide] == []


def test_every_extra_is_explained_and_found_by_its_packages(
    metadata: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "requires", lambda name: metadata.get_all("Requires-Dist"))
    modules = {
        "torch": "train", "tokenizers": "train", "peft": "lora", "trafilatura": "documents",
        "wordllama": "rag", "ray": "ray", "vllm": "vllm", "datasets": "sources",
        "lm_eval": "lm-eval", "inspect_ai": "inspect", "numpy": None, "pytest": None,
    }  # fmt: skip
    assert {module: extra_of(module) for module in modules} == modules
    guide = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    named = set(metadata.get_all("Provides-Extra", []))
    assert {extra for extra in named if f"| `{extra}` |" not in guide} == set()


def test_every_command_that_installs_an_extra_names_one_that_exists(metadata: Message) -> None:
    known = set(metadata.get_all("Provides-Extra", []))
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "src").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        for names in re.findall(r"""pip install[^\n]*?(?:steep|whl|\.)\[([\w,-]+)\]""", text):
            assert set(names.split(",")) <= known, f"{path}: {names}"
