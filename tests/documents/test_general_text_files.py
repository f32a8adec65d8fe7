from __future__ import annotations

from pathlib import Path

import pytest

from steep.documents.document import Skipped
from steep.documents.general_text import NoText, stream_general_texts


def test_a_bad_byte_in_json_lines_costs_one_line(tmp_path: Path) -> None:
    path = tmp_path / "general.jsonl"
    lines = [b'{"text": "One."}', b'{"text": "Caf\xe9."}', '{"text": "Café."}'.encode()]
    path.write_bytes(b"\n".join(lines))
    skipped: list[Skipped] = []
    assert list(stream_general_texts(path, skipped)) == ["One.", "Café."]
    assert [row.source for row in skipped] == ["general.jsonl:2"]
    assert "byte 0xe9" in skipped[0].reason


def test_a_plain_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "general.txt"
    path.write_bytes(b"One.\n\nCaf\xe9.")
    with pytest.raises(NoText, match="0xe9"):
        list(stream_general_texts(path, []))
