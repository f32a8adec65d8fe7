"""Read a file or a folder into documents; unreadable files are reported, and never stop the rest.

`read_documents(Path("docs"))` is the whole interface. Ids do not depend on the machine: a file's is
its path within the folder, a record's is its own.
"""

from __future__ import annotations

import codecs
import os
import re
import shlex
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from steep.core.errors import UserError
from steep.documents.document import Document, Reading, Skipped
from steep.documents.formats import FORMATS, extracted_ahead, read_format
from steep.documents.quality import first_record, is_quality
from steep.documents.readers import (
    LINE_READERS,
    READERS,
    Reader,
    SourceFile,
    read_quality_stories,
)
from steep.documents.records import not_utf8, other_encoding, recoding, utf8_lines

KINDS = ", ".join([*READERS, *FORMATS]) + " or QuALITY's own format"
SHOWN_REASONS = 3
_PANDOC = "pandoc {file} -t gfm -o {stem}.md"
CONVERTERS = {
    **dict.fromkeys((".ipynb", ".odt", ".org", ".rst", ".rtf", ".tex"), _PANDOC),
    ".doc": "soffice --headless --convert-to docx {file}",
    ".ppt": "soffice --headless --convert-to pptx {file}",
    ".json": "jq -c '.[]' {file} > {stem}.jsonl",
    ".markdown": "mv {file} {stem}.md",
}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
QUALITY_LINE_BYTES = 8 << 20  # the longest first line in which QuALITY's keys are looked for


def read_documents(path: Path) -> Reading:
    """Read every document of a file, or of a folder and its subfolders (hidden files excepted).

    Raises:
        UserError: The path does not exist, or holds no document at all.
    """
    if not path.exists():
        raise UserError("There are no documents here: no such file or folder.", where=path)
    files, skipped = _walk(path) if path.is_dir() else ({path.name: path}, [])
    ids = _file_ids(files)
    with extracted_ahead(files):
        readings = [_read_file(file, name, ids.get(name, name)) for name, file in files.items()]
    reading = merge_readings([*readings, Reading((), tuple(skipped), 0)])
    if not reading.documents:
        raise _nothing_found(path, reading)
    return reading


def merge_readings(readings: Iterable[Reading]) -> Reading:
    """Join readings; of two documents with one id the second is skipped."""
    documents: dict[str, Document] = {}
    skipped: list[Skipped] = []
    files = 0
    for reading in readings:
        files += reading.files
        skipped += reading.skipped
        for document in reading.documents:
            first = documents.setdefault(document.id, document)
            if first is not document:
                reason = f"id '{document.id}' is already that of {first.source}"
                skipped.append(Skipped(document.source, reason))
    return Reading(tuple(documents.values()), tuple(skipped), files)


def _walk(folder: Path) -> tuple[dict[str, Path], list[Skipped]]:
    """Return each file by its name within the folder, sorted, and folders that cannot be read."""
    files: dict[str, Path] = {}
    skipped: list[Skipped] = []

    def name_of(path: Path) -> str:
        return _shown(path.relative_to(folder).as_posix())

    def blocked(error: OSError) -> None:
        skipped.append(Skipped(name_of(Path(error.filename)), f"cannot be read: {error.strerror}"))

    for directory, subfolders, names in os.walk(folder, onerror=blocked):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        for path in (Path(directory, name) for name in subfolders):
            if path.is_symlink():  # could lead round in a circle
                skipped.append(Skipped(name_of(path), "a link to a folder is not followed"))
        paths = (Path(directory, name) for name in names if not name.startswith("."))
        files |= {name_of(path): path for path in paths}
    return dict(sorted(files.items())), skipped


def _shown(name: str) -> str:
    """Return a file's name with line breaks, control characters and non-UTF-8 bytes escaped."""
    encoded = os.fsencode(name).decode("utf-8", "backslashreplace")
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), encoded)


def _file_ids(names: Iterable[str]) -> dict[str, str]:
    """Return the names without their suffix, but where two files would get the same id."""
    readable = [name for name in names if Path(name).suffix.lower() in READERS | FORMATS]
    stems = Counter(map(_stem, readable))
    return {name: name if stems[_stem(name)] > 1 else _stem(name) for name in readable}


def _stem(name: str) -> str:
    return Path(name).with_suffix("").as_posix()


def _read_file(path: Path, name: str, file_id: str) -> Reading:
    reader = READERS.get(path.suffix.lower())
    try:
        if not path.is_file():
            return _skip(name, "not a regular file, or a broken link")
        if path.suffix.lower() in FORMATS:
            return read_format(path, name, file_id)
        if reader is None and _holds_quality(path):
            reader = read_quality_stories
        if reader is None:
            return _skip(name, _unknown_kind(Path(name)))
        return _apply(reader, name, file_id, path.read_bytes())
    except OSError as error:
        return _skip(name, f"cannot be read: {error.strerror}")


def _apply(reader: Reader, name: str, file_id: str, data: bytes) -> Reading:
    skipped: list[Skipped] = []
    if encoding := other_encoding(data):
        advice = f"save it as UTF-8, e.g. {recoding(encoding, name)}"
        return _skip(name, f"{encoding}, not UTF-8; {advice}")
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        by_lines = reader in LINE_READERS
        lines = utf8_lines(data.split(b"\n"), name, skipped) if by_lines else [data.decode()]
        text = "\n".join(lines)
    except UnicodeDecodeError as error:
        return _skip(name, not_utf8(data, error, name))
    if not text.strip():
        return _skip(name, skipped[0].reason if skipped else "the file is empty")
    reading = reader(SourceFile(name, file_id, text))
    return replace(reading, skipped=(*skipped, *reading.skipped))


def _unknown_kind(file: Path) -> str:
    command = CONVERTERS.get(file.suffix.lower())
    names = {"file": shlex.quote(file.name), "stem": shlex.quote(file.stem)}
    advice = f"; convert it: {command.format(**names)}" if command else ""
    return f"unknown kind '{file.suffix}'; expected {KINDS}{advice}"


def _holds_quality(path: Path) -> bool:
    """Return True if the first line has QuALITY's keys; its files have any suffix."""
    with path.open("rb") as file:
        if not file.read(16).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
            return False
        file.seek(0)
        line = file.readline(QUALITY_LINE_BYTES)
    return is_quality(first_record(line.decode("utf-8", errors="replace")))


def _skip(name: str, reason: str) -> Reading:
    return Reading((), (Skipped(name, reason),), 1)


def _nothing_found(path: Path, reading: Reading) -> UserError:
    reasons = [f"{skipped.source}: {skipped.reason}" for skipped in reading.skipped]
    more = len(reasons) - SHOWN_REASONS
    shown = reasons[:SHOWN_REASONS] + ([f"and {more} more"] if more > 0 else [])
    return UserError(
        "There is no readable document here.",
        where=path,
        expected=KINDS,
        found="\n            ".join(shown) or "no files",
    )
