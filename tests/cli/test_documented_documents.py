"""The commands of `docs/documents.md` work as they are printed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from steep_command import Steep

pytest_plugins = ["command_fixtures"]

PAGE = Path(__file__).parents[2] / "docs" / "documents.md"


def test_every_command_of_the_page_runs(tmp_path: Path, steep: Steep) -> None:
    page = PAGE.read_text(encoding="utf-8")
    (settings,) = re.findall(r"^    documents:\n(?:      .*\n)+", page, re.MULTILINE)
    (tmp_path / "steep.yaml").write_text(settings.replace("\n    ", "\n").lstrip())
    (tmp_path / "docs").mkdir()
    days = "They have the days off that they want. " * 20
    (tmp_path / "docs" / "handbook.md").write_text(f"# Handbook\n\n{days}\n\n## Leave\n\n{days}\n")
    commands = re.findall(r"^    steep (.*)$", page, re.MULTILINE)
    assert len(commands) > 7
    for command in commands:
        ended = steep(*shlex.split(command, comments=True), cwd=tmp_path)
        assert (ended.code, ended.err) == (0, ""), (command, ended.err)
        assert ended.out.strip(), command
