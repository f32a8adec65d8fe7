"""Archives and compressed files, unpacked into a folder for the time of reading.

The names inside an archive are only names: no file is written under one, so that none can lead out
of the folder; readers see the suffix alone. What expands beyond measure is refused.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from steep.core.formatting import count, file_size
from steep.documents.document import Skipped
from steep.documents.legacy_encodings import likely_encoding

# Text shrinks to a third or a tenth, logs to a fiftieth; deflate's limit is 1/1032.
MOST_EXPANSION = 200
ALWAYS_ALLOWED_BYTES = 64 << 20
MOST_FILES = 200_000
COPY_BYTES = 1 << 20

ZIP_SUFFIXES = (".zip",)
TAR_SUFFIXES = {
    ".tar": "", ".tar.gz": ".gz", ".tgz": ".gz", ".tar.bz2": ".bz2", ".tbz2": ".bz2",
    ".tbz": ".bz2", ".tar.xz": ".xz", ".txz": ".xz", ".tar.zst": ".zst",
}  # fmt: skip
COMPRESSED_SUFFIXES = (".gz", ".bz2", ".xz", ".zst")
_SUFFIX = re.compile(r"\.[a-z0-9_]{1,16}")
BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError,
    NotImplementedError, RuntimeError, ValueError,
)  # fmt: skip


class TooLarge(Exception):
    """An archive that expands beyond measure; the message says how far."""


@dataclass(slots=True)
class Unpacked:
    """The files of an archive by their names inside it, and what could not be unpacked."""

    files: dict[str, Path] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)


@dataclass(slots=True)
class _Budget:
    """How many bytes an archive may still expand to."""

    limit: int
    left: int = 0

    def __post_init__(self) -> None:
        self.left = self.limit

    def take(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise TooLarge(f"{file_size(self.limit)}, {MOST_EXPANSION} times its size")


class _Counted(io.RawIOBase):
    """A stream that counts what is read from it, so that no header can lie about it."""

    def __init__(self, stream: BinaryIO, budget: _Budget) -> None:
        super().__init__()
        # In pieces as they come, so that what stands before a cut is not lost with it.
        self._read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
        self._budget = budget

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._read(len(buffer))
        self._budget.take(len(data))
        buffer[: len(data)] = data
        return len(data)


def is_archive(name: str) -> bool:
    """Return whether a file of this name holds other files."""
    return name.lower().endswith((*ZIP_SUFFIXES, *TAR_SUFFIXES))


def is_compressed(name: str) -> bool:
    """Return whether a file of this name is one compressed file."""
    return not is_archive(name) and name.lower().endswith(COMPRESSED_SUFFIXES)


def uncompressed_name(name: str) -> str:
    """Return the name without the suffix of a compression."""
    return str(PurePosixPath(name).with_suffix("")) if is_compressed(name) else name


def unpack(path: Path, name: str, folder: Path) -> Unpacked:
    """Unpack an archive or a compressed file into an empty folder.

    What cannot be unpacked is listed with its reason; what came before it is kept.

    Args:
        path: The archive.
        name: Its name for messages; it decides the format.
        folder: An empty folder that the caller removes.
    """
    found = Unpacked()
    budget = _Budget(max(ALWAYS_ALLOWED_BYTES, MOST_EXPANSION * path.stat().st_size))
    try:
        if is_compressed(name):
            _decompress(path, name, folder, budget, found)
        elif name.lower().endswith(ZIP_SUFFIXES):
            _unzip(path, folder, budget, found)
        else:
            _untar(path, name, folder, budget, found)
    except TooLarge as error:
        reason = f"expands to more than {error}; unpack it yourself"
        found.skipped.append(Skipped("", reason))
    except BROKEN as error:
        found.skipped.append(Skipped("", f"cannot be unpacked further: {error or 'it is cut off'}"))
    return found


def _decompress(path: Path, name: str, folder: Path, budget: _Budget, found: Unpacked) -> None:
    target = _target(folder, 0, uncompressed_name(name))
    with decompressed(path, PurePosixPath(name.lower()).suffix, budget) as stream:
        _copy(stream, target, budget=None)
    found.files[""] = target


@contextmanager
def decompressed(path: Path, suffix: str, budget: _Budget) -> Iterator[BinaryIO]:
    """Open a file compressed as its suffix says (none: not at all), counting what is read."""
    openers: dict[str, Callable[[Path], Any]] = {
        "": lambda each: each.open("rb"),
        ".gz": gzip.open,
        ".bz2": bz2.open,
        ".xz": lzma.open,
        ".zst": _open_zstandard,
    }
    with openers[suffix](path) as stream:
        counted = _Counted(stream, budget)
        yield io.BufferedReader(counted, COPY_BYTES)


def _open_zstandard(path: Path) -> Any:
    import pyarrow as pa

    return pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")


def _unzip(path: Path, folder: Path, budget: _Budget, found: Unpacked) -> None:
    with zipfile.ZipFile(path) as archive:
        members = [each for each in archive.infolist() if not each.is_dir()]
        names = _zip_names(members)
        for member, name in zip(members, names, strict=True):
            if not _is_wanted(name, found):
                continue
            if member.flag_bits & 1:
                found.skipped.append(Skipped(name, "it is encrypted; unpack it yourself"))
                continue
            try:
                with archive.open(member) as stream:
                    _add(cast(BinaryIO, stream), name, folder, budget, found)
            except BROKEN as error:
                found.skipped.append(Skipped(name, f"cannot be unpacked: {error}"))


def _zip_names(members: list[zipfile.ZipInfo]) -> list[str]:
    """Return the names; those of old programs are in a code page that is not declared."""
    marked = 0x800  # the flag of UTF-8; without it, zipfile decodes code page 437
    raw = [None if each.flag_bits & marked else _raw_name(each) for each in members]
    encoding = likely_encoding(b"\n".join(filter(None, raw)))
    return [
        member.filename if name is None else decoded_name(name, encoding)
        for member, name in zip(members, raw, strict=True)
    ]


def _raw_name(member: zipfile.ZipInfo) -> bytes | None:
    try:
        return member.filename.encode("cp437")
    except UnicodeEncodeError:  # from an extra field with UTF-8
        return None


def decoded_name(name: bytes, encoding: str | None) -> str:
    """Return a name in UTF-8, or in a likely encoding, or in code page 437."""
    for each in filter(None, ("utf-8", encoding)):
        try:
            return name.decode(each)
        except UnicodeDecodeError:
            continue
    return name.decode("cp437")


def _untar(path: Path, name: str, folder: Path, budget: _Budget, found: Unpacked) -> None:
    suffix = next(TAR_SUFFIXES[each] for each in TAR_SUFFIXES if name.lower().endswith(each))
    written = _Budget(budget.limit)  # a sparse file is larger than its place in the archive
    with (
        decompressed(path, suffix, budget) as stream,
        tarfile.open(fileobj=stream, mode="r|") as archive,
    ):
        for member in archive:
            if member.isdir() or not _is_wanted(member.name, found):
                continue
            data = archive.extractfile(member) if member.isreg() else None
            if data is None:
                found.skipped.append(Skipped(member.name, "a link or a device, not a file"))
            else:
                _add(cast(BinaryIO, data), member.name, folder, written, found)


def _is_wanted(name: str, found: Unpacked) -> bool:
    """Return whether to unpack a file: hidden ones are left, as in a folder."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if ".." in parts or name.startswith(("/", "\\")):
        found.skipped.append(Skipped(name, "its name leads out of the archive"))
        return False
    return bool(parts) and not any(each.startswith(".") or each == "__MACOSX" for each in parts)


def _add(stream: BinaryIO, name: str, folder: Path, budget: _Budget, found: Unpacked) -> None:
    if len(found.files) >= MOST_FILES:
        raise TooLarge(f"{count(MOST_FILES)} files")
    target = _target(folder, len(found.files), name)
    _copy(stream, target, budget)
    inside = str(PurePosixPath(name.replace("\\", "/")))
    if found.files.setdefault(inside, target) is not target:  # as an updated archive has
        target.replace(found.files[inside])
        found.skipped.append(Skipped(name, "a later file of the archive has the same name"))


def _target(folder: Path, number: int, name: str) -> Path:
    suffix = PurePosixPath(name).suffix.lower()
    return folder / f"{number}{suffix if _SUFFIX.fullmatch(suffix) else ''}"


def _copy(stream: BinaryIO, target: Path, budget: _Budget | None) -> None:
    with target.open("wb") as file:
        while data := stream.read(COPY_BYTES):
            if budget is not None:
                budget.take(len(data))
            file.write(data)
