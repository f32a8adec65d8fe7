"""`steep documents`: what was read, from a project that has only a configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from steep_command import Steep

pytest_plugins = ["command_fixtures"]


def prose(first: int, sentences: int) -> str:
    lines = (f"In year {first + n} they had oil for {n} weeks." for n in range(sentences))
    return " ".join(f"{line} The keeper of the light wrote that." for line in lines)


HANDBOOK = (
    f"# Handbook\n\n{prose(1800, 4)}\n\n## 3 Leave\n\n### 3.1 Annual\n\n{prose(1850, 10)}\n\n"
    f"### 3.2 Parental\n\n{prose(1900, 9)}\n"
)


@pytest.fixture
def corner(tmp_path: Path) -> Path:
    files = {
        "handbook.md": HANDBOOK,
        "copy.md": HANDBOOK.replace(" ", "  "),
        "older.txt": HANDBOOK.replace("1853", "1753"),
        "insel.txt": "Die Insel\n\nDas ist ein Text über die Insel und ihre wenigen Bewohner.",
        "empty.txt": "",
    }
    (tmp_path / "documents").mkdir()
    for name, text in files.items():
        (tmp_path / "documents" / name).write_text(text)
    (tmp_path / "steep.yaml").write_text("documents: {path: documents, split_tokens: 250}\n")
    return tmp_path


def test_the_list_shows_lengths_parts_duplicates_and_what_was_skipped(
    corner: Path, steep: Steep
) -> None:
    ended = steep("documents", cwd=corner)
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert lines[0].split() == ["document", "title", "tokens", "language", "reader", "parts"]
    assert lines[3].split() == ["insel", "Die", "Insel", "18", "de", "TXT", "1"]
    assert "same text: handbook and copy" in lines
    assert any(each.startswith("near-duplicate: older is 9") for each in lines)
    assert "skipped empty.txt: the file is empty" in lines
    said = " ".join(ended.out.split())
    assert "4 documents from 5 files, about " in said
    assert "1 with the text of another, 1 near-duplicate, 1 skipped" in said
    assert max(map(len, lines)) <= 80
    assert not (corner / ".steep").exists() and not (corner / "runs").exists()


def test_one_document_its_parts_and_its_headings_are_shown(corner: Path, steep: Steep) -> None:
    shown = steep("documents", "--show", "handbook", cwd=corner)
    assert shown.out == HANDBOOK  # echo ends it as the file ends
    part = steep("documents", "--show", "handbook#03", "--json", cwd=corner)
    found = json.loads(part.out)
    assert found["text"].startswith("### 3.2 Parental")
    assert found["metadata"]["title_path"] == "3 Leave > 3.2 Parental"
    outline = steep("documents", "--show", "handbook", "--sections", cwd=corner).out.splitlines()
    assert outline[0] == "handbook: Handbook"
    assert [line.split()[0] for line in outline[1:]] == ["(before", "3", "3.1", "3.2"]
    assert [len(line) - len(line.lstrip()) for line in outline[1:]] == [2, 2, 4, 4]
    wrong = steep("documents", "--show", "handbok", cwd=corner)
    assert wrong.code == 2 and "did you mean 'handbook'" in wrong.err


def test_long_lists_are_cut_and_say_so(corner: Path, steep: Steep) -> None:
    for number in range(30):
        (corner / "documents" / f"note-{number:02d}.txt").write_text(f"Note {number} of the log.")
        (corner / "documents" / f"page-{number:02d}.xyz").write_text("Some text.")
    short = steep("documents", cwd=corner)
    assert "and 14 more documents (--all)" in short.out
    assert "skipped page-00.xyz and 29 more: unknown kind '.xyz'" in short.out
    assert "note-29" in steep("documents", "--all", cwd=corner).out
    skipped = steep("documents", "--skipped", cwd=corner)
    assert skipped.out.count("skipped page-") == 30
    outlines = steep("documents", "--sections", cwd=corner)
    assert "and 31 more documents (--all)" in outlines.out
    listed = json.loads(steep("documents", "--json", cwd=corner).out)
    assert (len(listed["documents"]), len(listed["skipped"]), listed["files"]) == (34, 31, 65)


def test_without_a_document_the_command_fails(corner: Path, steep: Steep) -> None:
    ended = steep("documents", "--set", "documents.path=documents/empty.txt", cwd=corner)
    assert ended.code == 2 and "There is no readable document here" in ended.err
    both = steep("documents", "--skipped", "--sections", cwd=corner)
    assert both.code == 2 and "Only one list" in both.err


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["documents.split_words=100"], "set split_tokens or split_words, not both"),
        (["documents.split_overlap=126"], "split_overlap: expected at most half of split_tokens"),
        (["documents.split_tokens=null", "documents.split_overlap=5"], "which is not set"),
    ],
)
def test_settings_that_contradict_one_another_are_refused(
    corner: Path, steep: Steep, settings: list[str], said: str
) -> None:
    ended = steep("documents", *(word for each in settings for word in ("--set", each)), cwd=corner)
    assert ended.code == 2 and said in ended.err.replace("\n", " ")


def test_notes_on_documents_that_are_kept_are_no_skipped_files(corner: Path, steep: Steep) -> None:
    text = "Die Größe der Insel ist gewiß für die Bewohner übersichtlich. Sie mögen Öl und Äpfel."
    (corner / "documents" / "old.txt").write_bytes(text.encode("windows-1252"))
    out = steep("documents", cwd=corner).out
    assert "note on old.txt: " in out and "skipped old.txt" not in out
    assert "1 skipped, 1 note" in " ".join(out.split())
