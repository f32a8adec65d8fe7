"""Readers of installed packages: entry points of the group `steep.readers`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

from steep.core.errors import UserError
from steep.documents import plugins
from steep.documents.document import Document, Reading
from steep.documents.reading import read_documents


def read_upper(path: Path, name: str, document_id: str) -> Reading:
    text = path.read_text()
    if text == "bad":
        raise ZeroDivisionError("of a reader")
    if text == "none":
        return None  # type: ignore[return-value]
    return Reading((Document(document_id, "T", text.upper(), source=name),), (), 1)


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    def installed(name: str, value: str) -> None:
        module = ModuleType("scripted_reader")
        vars(module).update(read=read_upper, number=7)
        monkeypatch.setitem(sys.modules, "scripted_reader", module)
        point = EntryPoint(name, value, plugins.GROUP)
        monkeypatch.setattr(plugins, "entry_points", lambda group: [point])
        clear()

    def clear() -> None:
        plugins.installed_readers.cache_clear()
        plugins.installed_reader.cache_clear()

    yield installed
    monkeypatch.undo()
    clear()


@pytest.mark.parametrize("name", [".rst", "rst", "RST"])
def test_a_reader_is_found_by_its_suffix(tmp_path: Path, install: object, name: str) -> None:
    install(name, "scripted_reader:read")  # type: ignore[operator]
    (tmp_path / "a.rst").write_text("text")
    (tmp_path / "b.RST").write_text("bad")
    (tmp_path / "c.txt").write_text("plain")
    (tmp_path / "d.rst").write_text("none")
    reading = read_documents(tmp_path)
    assert [(each.id, each.text) for each in reading.documents] == [("a", "TEXT"), ("c", "plain")]
    assert [(each.source, each.reason) for each in reading.skipped] == [
        ("b.RST", "the reader failed: ZeroDivisionError: of a reader"),
        ("d.rst", "the reader failed: TypeError: expected a Reading, found NoneType"),
    ]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("no_such_package:read", "cannot be loaded"),
        ("scripted_reader:missing", "cannot be loaded"),
        ("scripted_reader:number", "is not a function"),
    ],
)
def test_a_reader_that_cannot_be_used_names_its_package(
    tmp_path: Path, install: object, value: str, problem: str
) -> None:
    install("rst", value)  # type: ignore[operator]
    (tmp_path / "a.rst").write_text("text")
    with pytest.raises(UserError, match=problem) as caught:
        read_documents(tmp_path)
    assert value.partition(":")[0] in str(caught.value)
