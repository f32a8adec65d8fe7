from __future__ import annotations

import sys

import pytest

from steep import cli
from steep.core import extras
from steep.core.extras import extra_of, missing_extra


@pytest.fixture(autouse=True)
def requirements(monkeypatch: pytest.MonkeyPatch) -> None:
    """The metadata of a package, whatever was installed here when."""
    lines = [
        "numpy>=2.0",
        "uvloop>=0.21; platform_system != 'Windows'",
        "pytest>=8.3; extra == 'dev'",
        "lxml-html-clean>=0.4; extra == 'documents'",
        "lxml>=5.2; extra == 'documents'",
        'lm-eval[hf]>=0.4.10; extra == "lm-eval"',
        "torch>=2.6; extra == 'train'",
        "torch>=2.6; extra == 'another'",
        "torch>=2.6; (python_version < '4') and extra == 'vllm'",
    ]
    monkeypatch.setattr(extras, "requires", lambda name: lines)


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        ("torch", "another"),  # the first in the alphabet
        ("lm_eval", "lm-eval"),
        ("lxml", "documents"),
        ("lxml_html_clean", "documents"),
        ("pytest", None),  # for developers
        ("numpy", None),  # always installed
        ("uvloop", None),
        ("no_such_module", None),
    ],
)
def test_the_extra_of_a_module(module: str, extra: str | None) -> None:
    assert extra_of(module) == extra


def test_only_a_module_of_an_extra_is_an_error_of_the_user() -> None:
    assert missing_extra(ModuleNotFoundError("?", name="steep.no_such_module")) is None
    assert missing_extra(ModuleNotFoundError("?")) is None


def test_the_command_line_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        import torch.nn  # noqa: F401

    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr("steep.cli.app.app", command)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "torch, which is not installed" in capsys.readouterr().err


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def command() -> None:
        import steep.no_such_module  # type: ignore[import-not-found]  # noqa: F401

    monkeypatch.setattr("steep.cli.app.app", command)
    with pytest.raises(ModuleNotFoundError):
        cli.main()
