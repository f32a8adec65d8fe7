"""All formats through `read_documents`: ids, cache, missing libraries, bad files."""

from __future__ import annotations

import errno
import gzip
import json
import zipfile
from pathlib import Path

import pytest
from made_files import Text, docx, lines, p, pdf, png_page

from steep.core.artifacts import MANIFEST, Project
from steep.documents import formats
from steep.documents.child import ChildLimits
from steep.documents.config import DocumentsConfig
from steep.documents.extraction_cache import cached_extraction
from steep.documents.reading import read_documents
from steep.documents.store import build_documents, documents_of, preview_documents

WORDS = ("The ferry crosses the sound twice a day, at dawn", "and at dusk, whatever the weather.")


def folder_of_all(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    pdf(folder / "ferry.pdf", [[Text(72, 60, "Ferry", 20, "B"), *lines(72, 100, *WORDS)]])
    docx(folder / "leave.DOCX", p("Every employee has 25 days."), core="<dc:title>Leave</dc:title>")
    (folder / "page.html").write_text(f"<title>Page</title><h1>Page</h1><p>{' '.join(WORDS)}")
    (folder / "page.md").write_text("# Note\n\nText.")
    png_page(folder / "scan.pdf")
    (folder / "broken.pptx").write_bytes(b"nothing")
    (folder / "empty.pdf").write_bytes(b"")
    return folder


def test_compressed_files_and_members_of_archives_are_read(tmp_path: Path) -> None:
    folder = folder_of_all(tmp_path / "docs")
    (tmp_path / "page.html.gz").write_bytes(gzip.compress((folder / "page.html").read_bytes()))
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.write(folder / "ferry.pdf", "in/ferry.pdf")
        archive.write(folder / "leave.DOCX", "in/leave.DOCX")
    for path in folder.iterdir():
        path.unlink()
    found = {each.id: each.title for each in read_documents(tmp_path).documents}
    assert found == {"more.zip/in/ferry": "Ferry", "more.zip/in/leave": "Leave", "page": "Page"}


def test_good_files_are_read_and_bad_ones_skipped_with_their_reasons(tmp_path: Path) -> None:
    reading = read_documents(folder_of_all(tmp_path / "docs"))
    assert [(document.id, document.title) for document in reading.documents] == [
        ("ferry", "Ferry"), ("leave", "Leave"), ("page.html", "Page"), ("page.md", "Note"),
    ]  # fmt: skip
    assert [document.metadata.get("reader") for document in reading.documents] == [
        "PDF", "DOCX", "HTML", None,
    ]  # fmt: skip
    skipped = {each.source: each.reason for each in reading.skipped}
    assert skipped.keys() == {"broken.pptx", "empty.pdf", "scan.pdf"}
    assert skipped["broken.pptx"].startswith("damaged, or no PowerPoint file")
    assert "ocrmypdf" in skipped["scan.pdf"]
    assert skipped["empty.pdf"] == "the file is empty"
    assert reading.files == 7


def test_a_second_reading_parses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of_all(tmp_path / "docs")
    cache = tmp_path / "cache"
    with cached_extraction(cache):
        first = read_documents(folder)
    assert len([*cache.glob("*.json")]) == 5
    monkeypatch.setattr(formats, "run_tasks", None)  # would fail
    with cached_extraction(cache):
        assert read_documents(folder) == first


def test_a_damaged_entry_is_made_again(tmp_path: Path) -> None:
    folder = folder_of_all(tmp_path / "docs")
    with cached_extraction(tmp_path / "cache"):
        first = read_documents(folder)
        for at, entry in enumerate((tmp_path / "cache").glob("*.json")):
            entry.write_text(("{", "{}", "[]", '{"answer": {"odd": 1}, "limits": {}}', "\x00")[at])
        assert read_documents(folder) == first


def test_a_file_that_hit_a_limit_is_tried_again_at_other_limits_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pdf(tmp_path / "a.pdf", [lines(72, 100, *WORDS)] * 200)
    with cached_extraction(tmp_path / "cache"):
        monkeypatch.setattr(formats, "LIMITS", ChildLimits(seconds=0.02))
        (skipped,) = formats.read_format(formats.FORMATS[".pdf"], path, "a.pdf", "a").skipped
        assert skipped.reason.startswith("it took more than 0.")
        (entry,) = (tmp_path / "cache").glob("*.json")
        assert f"delete {entry}" in skipped.reason
        entry.write_text(entry.read_text().replace("it took", "it once took"))
        (skipped,) = formats.read_format(formats.FORMATS[".pdf"], path, "a.pdf", "a").skipped
        assert skipped.reason.startswith("it once took")
        monkeypatch.setattr(formats, "LIMITS", ChildLimits())
        assert formats.read_format(formats.FORMATS[".pdf"], path, "a.pdf", "a").documents


def test_a_missing_library_names_the_command(tmp_path: Path) -> None:
    path = pdf(tmp_path / "a.pdf", [lines(72, 100, *WORDS)])
    kind = formats.Format("PDF", "pdf", ("no_such_package",))
    (skipped,) = formats.read_format(kind, path, "a.pdf", "a").skipped
    assert skipped.reason == "PDF needs no_such_package; pip install 'steep[documents]'"


def test_a_cache_that_cannot_be_written_costs_time_only_and_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("a file")
    with cached_extraction(tmp_path / "cache"):
        assert len(read_documents(folder_of_all(tmp_path / "docs")).documents) == 4
    (said,) = caplog.messages
    assert f"cannot write to {tmp_path / 'cache'}" in said and "reads all files again" in said


def test_a_full_disk_leaves_no_half_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, _: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "replace", full)
    with cached_extraction(tmp_path / "cache") as cache:
        cache.put("key", {"answer": "text"})
        assert cache.get("key") == {"answer": "text"}
    assert not [*(tmp_path / "cache").iterdir()]


def test_the_cache_lies_in_the_project_and_reports_of_runs_are_no_documents(
    tmp_path: Path,
) -> None:
    folder_of_all(tmp_path)
    (tmp_path / "runs" / "first").mkdir(parents=True)
    (tmp_path / "runs" / "first" / "report.html").write_text("<h1>Report</h1><p>Of a run.")
    project, settings = Project(tmp_path), DocumentsConfig(path=tmp_path)
    artifact = build_documents(project, settings)
    assert [each.id for each in documents_of(artifact)] == [
        "ferry",
        "leave",
        "page.html",
        "page.md",
    ]
    assert preview_documents(project, settings) == documents_of(artifact)
    skipped = json.loads((artifact.path / MANIFEST).read_text())["skipped"]
    assert {each["source"] for each in skipped} == {"broken.pptx", "empty.pdf", "scan.pdf"}
    assert len([*(tmp_path / ".steep" / "extracted").glob("*.json")]) >= 5
