"""What `documents.path` may name: patterns, archives, compressed files and data sets."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steep.core.errors import UserError
from steep.documents import archives
from steep.documents.reading import READABLE, read_documents
from steep.documents.sources import find_files

TREE = {
    "a.md": "# Ant\n\nIt walks.",
    "sub/b.md": "# Bee\n\nIt hums.",
    "sub/deep/c.txt": "Cat\n\nIt sleeps.",
    "sub/d.jsonl": '{"id": "dog", "text": "It barks."}\n',
    ".hidden/e.md": "# Eel",
}
IDS = ["a", "sub/b", "dog", "sub/deep/c"]


def make_tree(folder: Path, files: Mapping[str, str] = TREE) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def ids_of(path: Path) -> list[str]:
    return [each.id for each in read_documents(path).documents]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("**/*.md", ["a.md", "sub/b.md"]),
        ("*.md", ["a.md"]),
        ("*/*.md", ["sub/b.md"]),
        ("**", ["a.md", "sub/b.md", "sub/d.jsonl", "sub/deep/c.txt"]),
        ("sub/**", ["b.md", "d.jsonl", "deep/c.txt"]),
        ("sub/[bd].*", ["b.md", "d.jsonl"]),
        ("**/deep/?.txt", ["sub/deep/c.txt"]),
        (".hidden/*", ["e.md"]),
        (".h*/*", [".hidden/e.md"]),
        ("**/**/c.*", ["sub/deep/c.txt"]),
    ],
)
def test_a_pattern_finds_what_it_says(tmp_path: Path, pattern: str, names: list[str]) -> None:
    found = find_files(make_tree(tmp_path) / pattern)
    assert list(found.files) == names


def test_a_pattern_agrees_with_that_of_python(tmp_path: Path) -> None:
    make_tree(tmp_path)
    for pattern in ("**/*", "**/*.md", "*", "*/*", "sub/*", "**/d*/*", "*/**/c.txt", "?.md"):
        mine = set(find_files(tmp_path / pattern).files.values())
        known = {path for path in tmp_path.glob(pattern) if path.is_file()}
        assert mine == {path for path in known if ".hidden" not in path.parts}, pattern


def test_a_pattern_does_not_enter_folders_that_cannot_match(tmp_path: Path) -> None:
    make_tree(tmp_path)
    (tmp_path / "loop").symlink_to(tmp_path)
    assert find_files(tmp_path / "sub" / "*.md").skipped == ()
    assert [each.source for each in find_files(tmp_path / "**" / "*.md").skipped] == ["loop"]


def test_a_file_whose_name_looks_like_a_pattern_is_itself(tmp_path: Path) -> None:
    make_tree(tmp_path, {"a[1].md": "# Ant", "a1.md": "# Other"})
    assert ids_of(tmp_path / "a[1].md") == ["a[1]"]


def test_a_pattern_that_matches_nothing_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No file matches"):
        read_documents(make_tree(tmp_path) / "*.docx")
    with pytest.raises(UserError, match="no such folder"):
        read_documents(tmp_path / "nowhere" / "*.md")


def test_excluded_folders_are_neither_read_nor_listed(tmp_path: Path) -> None:
    make_tree(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "sub")
    reading = read_documents(tmp_path, exclude=(tmp_path / "sub",))
    assert [each.id for each in reading.documents] == ["a"]
    assert reading.skipped == ()


def make_zip(folder: Path, target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))


def make_tar(mode: Literal["w", "w:gz", "w:bz2", "w:xz"]) -> Callable[[Path, Path], None]:
    def make(folder: Path, target: Path) -> None:
        with tarfile.open(target, mode) as archive:
            archive.add(folder, arcname=".")

    return make


def make_tar_zst(folder: Path, target: Path) -> None:
    plain = target.with_name("plain")
    make_tar("w")(folder, plain)
    with pa.CompressedOutputStream(pa.OSFile(str(target), "wb"), "zstd") as stream:
        stream.write(plain.read_bytes())


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("docs.zip", make_zip),
        ("docs.tar", make_tar("w")),
        ("docs.tar.gz", make_tar("w:gz")),
        ("docs.TGZ", make_tar("w:gz")),
        ("docs.tar.bz2", make_tar("w:bz2")),
        ("docs.tar.xz", make_tar("w:xz")),
        ("docs.tar.zst", make_tar_zst),
    ],
)
def test_an_archive_gives_the_documents_of_its_folder(
    tmp_path: Path, name: str, make: Callable[[Path, Path], None]
) -> None:
    folder = make_tree(tmp_path / "docs")
    make(folder, tmp_path / name)
    from_folder, from_archive = read_documents(folder), read_documents(tmp_path / name)
    assert from_archive == from_folder
    assert [each.id for each in from_archive.documents] == IDS
    shutil.rmtree(folder)
    beside = read_documents(make_tree(tmp_path, {"z.txt": "Zebra"}))  # in a folder of others
    assert [each.id for each in beside.documents][:1] == [f"{name}/a"]
    assert beside.documents[-1].id == "z"


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst"])
def test_a_compressed_file_is_read_as_what_it_holds(tmp_path: Path, suffix: str) -> None:
    lines = "".join(f'{{"id": "{n}", "text": "Text {n}."}}\n' for n in range(3)).encode()
    path = tmp_path / f"all.jsonl{suffix}"
    if suffix == ".zst":
        frames = [pa.compress(each, "zstd", asbytes=True) for each in lines.splitlines(True)]
        path.write_bytes(b"".join(frames))  # several frames, as parallel compressors write
    else:
        path.write_bytes({".gz": gzip, ".bz2": bz2, ".xz": lzma}[suffix].compress(lines))
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"Ant"))
    reading = read_documents(tmp_path)
    assert [each.id for each in reading.documents] == ["a", "0", "1", "2"]
    assert reading.documents[1].source == f"all.jsonl{suffix}:1"
    assert (reading.files, reading.skipped) == (2, ())


def test_names_that_lead_out_links_and_nested_archives_are_skipped(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("x.txt", "X")
    path = tmp_path / "docs.tar"
    with tarfile.open(path, "w") as tar:
        files = {"../out.txt": b"no", "/abs.txt": b"no", "good.txt": b"Good."}
        files |= {"in.zip": inner.getvalue(), "twice.txt.gz": gzip.compress(b"Twice.")}
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        link = tarfile.TarInfo("link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        tar.addfile(link)
    reading = read_documents(path)
    assert [each.id for each in reading.documents] == ["good", "twice"]
    assert {each.source: each.reason for each in reading.skipped} == {
        "../out.txt": "its name leads out of the archive",
        "/abs.txt": "its name leads out of the archive",
        "in.zip": "an archive in an archive; unpack it",
        "link.txt": "a link or a device, not a file",
    }
    assert not (tmp_path.parent / "out.txt").exists()


@pytest.mark.parametrize("name", ["bomb.zip", "bomb.tar.gz", "bomb.txt.gz", "sparse.tar"])
def test_what_expands_beyond_measure_is_refused(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "ALWAYS_ALLOWED_BYTES", 1 << 20)
    (tmp_path / "good.txt").write_text("Good.")
    zeros = b"\0" * (20 << 20)
    path = tmp_path / name
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.txt", "First.")
            archive.writestr("zeros.txt", zeros)
    elif name.endswith(".txt.gz"):
        path.write_bytes(gzip.compress(zeros))
    else:
        data = _tar_of(b"First.", zeros) if name == "bomb.tar.gz" else _sparse_tar()
        path.write_bytes(gzip.compress(data) if name == "bomb.tar.gz" else data)
    reading = read_documents(tmp_path)
    assert reading.documents[-1].id == "good"
    (skipped,) = reading.skipped
    assert skipped.source == name
    assert "expands to more than" in skipped.reason and "200 times" in skipped.reason


def test_an_archive_of_too_many_files_is_read_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MOST_FILES", 2)
    make_zip(make_tree(tmp_path / "docs"), tmp_path / "docs.zip")
    reading = read_documents(tmp_path / "docs.zip")
    assert [each.id for each in reading.documents] == ["a", "sub/b"]
    assert "expands to more than 2 files" in reading.skipped[0].reason


def test_an_archive_says_which_file_is_replaced_and_that_it_is_empty(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "docs.tar", "w") as tar:
        for text in (b"Old", b"Other", b"New"):
            member = tarfile.TarInfo("b.txt" if text == b"Other" else "a.txt")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr(".hidden", "x")
    reading = read_documents(tmp_path)
    assert [each.text for each in reading.documents] == ["New", "Other"]
    assert {each.source: each.reason.partition(",")[0] for each in reading.skipped} == {
        "docs.tar/a.txt": "a later file of the archive has the same name",
        "empty.zip": "the archive has no files",
    }


def _tar_of(first: bytes, second: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, data in (("a.txt", first), ("b.txt", second)):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def _sparse_tar() -> bytes:
    """Return a file of 1 TiB of zeros by GNU's header, in 10 KiB."""
    member = tarfile.TarInfo("huge.txt")
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    header[156:157] = b"S"
    header[386:482] = b"\0" * 96
    header[483:495] = b"\x80" + (1 << 40).to_bytes(11, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + b"\0" * 1024


def test_broken_archives_keep_what_came_before(tmp_path: Path) -> None:
    tar = gzip.compress(_tar_of(b"First.", os.urandom(300_000)))
    (tmp_path / "cut.tar.gz").write_bytes(tar[: len(tar) // 2])
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"id": 1, "text": "A"}\n')[:-4])
    (tmp_path / "not.zip").write_bytes(b"PK and no more")
    reading = read_documents(tmp_path)
    assert [each.id for each in reading.documents] == ["cut.tar.gz/a"]
    assert [each.source for each in reading.skipped] == ["cut.jsonl.gz", "cut.tar.gz", "not.zip"]
    assert all("cannot be unpacked" in each.reason for each in reading.skipped)


def test_an_encrypted_member_says_so(tmp_path: Path) -> None:
    path = tmp_path / "docs.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "Ant")
        archive.writestr("b.txt", "Bee")
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    reading = read_documents(path)
    assert [each.id for each in reading.documents] == ["a"]
    assert [(each.source, each.reason[:15]) for each in reading.skipped] == [
        ("b.txt", "it is encrypted")
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "cp866", "cp932", "cp1252"])
def test_names_of_old_zip_programs_are_decoded(tmp_path: Path, encoding: str) -> None:
    names = {
        "utf-8": "Möwe",
        "cp866": "история маяка",
        "cp932": "灯台の歴史",
        "cp1252": "Müller größte Möwe",
    }
    raw = f"{names[encoding]}.txt".encode(encoding)
    path = tmp_path / "docs.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x" * len(raw), "Text.")
    path.write_bytes(path.read_bytes().replace(b"x" * len(raw), raw))
    assert ids_of(path) == [names[encoding]]


def test_a_data_set_of_the_hub_is_read_through_datasets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "owner" / "harbour"  # `datasets` prefers a folder of the same name
    folder.mkdir(parents=True)
    for split, text in (("train", "It fishes."), ("test", "It hides.")):
        (folder / f"{split}.jsonl").write_text(json.dumps({"content": text, "label": 1}) + "\n")
    monkeypatch.chdir(tmp_path)
    reading = read_documents("hf://owner/harbour")
    (document,) = reading.documents
    assert document.text == "It fishes." and document.id.startswith("owner/harbour-")
    assert document.source == "hf://owner/harbour:1"
    notes = " ".join(each.reason for each in reading.skipped)
    assert "only the split train is read, not test" in notes and "text from 'content'" in notes
    (document,) = read_documents("hf://owner/harbour:test").documents
    assert document.text == "It hides."
    with pytest.raises(UserError, match="cannot be loaded"):
        read_documents("hf://owner/harbour:validation")


@pytest.mark.parametrize("address", ["hf://", "hf://a/b/c/d", "hf://a b", "hf:///x"])
def test_an_address_of_another_form_is_the_users_mistake(address: str) -> None:
    with pytest.raises(UserError, match="no address of a data set"):
        read_documents(address)


@given(data=st.binary(max_size=300), suffix=st.sampled_from([*READABLE, ".zip", ".tgz", ".gz"]))
@settings(max_examples=150, deadline=None)
def test_no_content_of_a_file_stops_the_others(data: bytes, suffix: str) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / f"a{suffix}").write_bytes(data)
        (folder / "good.md").write_text("Good.")
        reading = read_documents(folder)
    assert "good" in {each.id for each in reading.documents}
    own = sum(each.source.startswith(f"a{suffix}") for each in reading.documents)
    assert own or reading.left_out
