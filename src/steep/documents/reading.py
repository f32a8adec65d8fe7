"""Read files into documents; what cannot be read is reported, and never stops the rest.

`read_documents(Path("docs"))` is the whole interface. Ids do not depend on the machine: a file's is
its path within the folder or archive, a record's is its own or made of its text.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from steep.core.errors import UserError
from steep.core.formatting import plural
from steep.documents.archives import (
    is_archive,
    is_compressed,
    uncompressed_name,
    unpack,
)
from steep.documents.clean import one_line
from steep.documents.columns import RecordFile, reader_failed
from steep.documents.config import ColumnsConfig
from steep.documents.document import EMPTY, Document, Reading, Skipped, reason_lines
from steep.documents.encodings import Undecodable, read_text
from steep.documents.formats import FORMATS, extracted_ahead, read_format
from steep.documents.hub import is_hub, read_hub
from steep.documents.json_files import read_json, read_jsonl, read_quality
from steep.documents.plugins import installed_reader, installed_readers
from steep.documents.quality import first_record, is_quality
from steep.documents.readers import TEXT_READERS, SourceFile
from steep.documents.sources import find_files, shown_name
from steep.documents.tabular import read_csv, read_parquet

RecordReader = Callable[[Path, RecordFile], Reading]
RECORD_READERS: dict[str, RecordReader] = {
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".json": read_json,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".parquet": read_parquet,
}
READABLE = (*TEXT_READERS, *RECORD_READERS, *FORMATS)
KINDS = f"{', '.join(READABLE)}, an archive of these, or QuALITY's own format"
SHOWN_REASONS = 3
_PANDOC = "pandoc IN{suffix} -t gfm -o OUT.md"
CONVERTERS = {
    **dict.fromkeys((".ipynb", ".odt", ".org", ".rst", ".rtf", ".tex"), _PANDOC),
    ".doc": "soffice --headless --convert-to docx IN.doc",
    ".ppt": "soffice --headless --convert-to pptx IN.ppt",
    ".xlsx": "soffice --headless --convert-to csv IN.xlsx",
    ".7z": "7z x IN.7z",
    ".rar": "unrar x IN.rar",
}
QUALITY_LINE_BYTES = 8 << 20  # the longest first line in which QuALITY's keys are looked for


def read_documents(
    path: Path | str, columns: ColumnsConfig | None = None, exclude: Sequence[Path] = ()
) -> Reading:
    """Read every document of a file, folder, pattern, archive or data set.

    Args:
        path: A file; a folder with its subfolders (hidden files excepted); a pattern such as
            `docs/**/*.md`; an archive; or `hf://owner/name[/config][:split]`.
        columns: Names of the columns of records; None: usual ones.
        exclude: Folders that are left out.

    Raises:
        UserError: The path does not exist, or holds no document at all.
    """
    columns = columns or ColumnsConfig()
    if is_hub(path):
        reading = read_hub(str(path), columns)
    else:
        found = find_files(Path(path), exclude)
        is_whole = len(found.files) == 1 and Path(path).is_file()
        readings = _read_files(found.files, columns, in_archive=False, is_whole=is_whole)
        reading = merge_readings([*readings, Reading((), found.skipped, 0)])
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
                skipped.append(Skipped(document.source, _why_twice(document, first)))
    skipped.sort(key=lambda each: each.kept)  # notes last
    return Reading(tuple(documents.values()), tuple(skipped), files)


def _why_twice(document: Document, first: Document) -> str:
    if document.text == first.text:
        return f"the same text and id as {first.source}"
    return f"id '{document.id}' is already that of {first.source}"


def _read_files(
    files: Mapping[str, Path], columns: ColumnsConfig, *, in_archive: bool, is_whole: bool = False
) -> Iterator[Reading]:
    """Read files by their names; those in an archive lie under other names on the disk."""
    ids = _file_ids(files)
    installed = installed_readers()
    with extracted_ahead({name: files[name] for name in files if _suffix(name) not in installed}):
        for name, path in files.items():
            if not is_archive(name) and not is_compressed(name):
                yield _read_file(path, name, RecordFile(name, ids.get(name, name), columns))
            elif in_archive and is_archive(name):
                yield _skip(name, "an archive in an archive; unpack it")
            elif not path.is_file():
                yield _skip(name, "not a regular file, or a broken link")
            else:
                yield from _read_archive(path, name, ids.get(name, name), columns, is_whole)


def _read_archive(
    path: Path, name: str, file_id: str, columns: ColumnsConfig, is_whole: bool
) -> Iterator[Reading]:
    """Read what an archive or a compressed file holds.

    Args:
        path: On the disk.
        name: For messages.
        file_id: The id of a document in a compressed file.
        columns: As in the configuration.
        is_whole: Whether ids start inside the archive, because nothing else is read.
    """
    with tempfile.TemporaryDirectory(prefix="steep-") as folder:
        try:
            unpacked = unpack(path, name, Path(folder))
        except Exception as error:
            yield _skip(name, f"cannot be unpacked: {one_line(str(error))}")
            return
        inside = {shown_name(each): file for each, file in unpacked.files.items()}
        if is_compressed(name):
            for file in inside.values():
                yield _read_file(file, name, RecordFile(name, file_id, columns))
        else:
            prefix = "" if is_whole else f"{name}/"
            inside = {prefix + each: file for each, file in sorted(inside.items())}
            yield from _read_files(inside, columns, in_archive=True)
        if not unpacked.files and not unpacked.skipped:
            yield _skip(name, "the archive has no files, hidden ones excepted")
        place = "" if is_compressed(name) or is_whole else f"{name}/"
        for each in unpacked.skipped:
            source = place + shown_name(each.source) if each.source else name
            yield _skip(source, each.reason)


def _file_ids(names: Iterable[str]) -> dict[str, str]:
    """Return the names without their suffix, but where two files would get the same id."""
    readable = [name for name in names if _suffix(name) in {*READABLE, *installed_readers()}]
    stems = Counter(map(_stem, readable))
    return {name: name if stems[_stem(name)] > 1 else _stem(name) for name in readable}


def _suffix(name: str) -> str:
    return Path(uncompressed_name(name)).suffix.lower()


def _stem(name: str) -> str:
    return Path(uncompressed_name(name)).with_suffix("").as_posix()


def _read_file(path: Path, name: str, file: RecordFile) -> Reading:
    try:
        if not path.is_file():
            return _skip(name, "not a regular file, or a broken link")
        reading = _read_by_suffix(path, name, file)
    except OSError as error:
        return _skip(name, f"cannot be read: {error.strerror or error}")
    except Undecodable as error:
        return _skip(name, str(error))
    if not reading.documents and not any(not each.kept for each in reading.skipped):
        return replace(reading, skipped=(Skipped(name, EMPTY),))
    return reading


def _read_by_suffix(path: Path, name: str, file: RecordFile) -> Reading:
    """Read a file; a reader that fails costs this file only.

    Raises:
        UserError: The reader of an installed package cannot be loaded.
    """
    suffix = _suffix(name)
    installed = installed_reader(suffix)
    try:
        if installed is not None:
            return _checked(installed(path, name, file.id))
        if suffix in TEXT_READERS:
            skipped: list[Skipped] = []
            source = SourceFile(name, file.id, read_text(path, name, skipped))
            reading = TEXT_READERS[suffix](source)
            return replace(reading, skipped=(*skipped, *reading.skipped))
        if suffix in FORMATS:
            return read_format(FORMATS[suffix], path, name, file.id)
        if suffix in RECORD_READERS:
            return RECORD_READERS[suffix](path, file)
        if _holds_quality(path):
            return read_quality(path, file)
    except (OSError, Undecodable):
        raise
    except UserError as error:
        return _skip(name, one_line(str(error)))
    except Exception as error:
        return _skip(name, reader_failed(error))
    return _skip(name, _unknown_kind(suffix))


def _checked(reading: Reading) -> Reading:
    """Return what the reader of a package returned.

    Raises:
        TypeError: It is no reading.
    """
    if not isinstance(reading, Reading):
        raise TypeError(f"expected a Reading, found {type(reading).__name__}")
    return reading


def _unknown_kind(suffix: str) -> str:
    """Return a reason that is the same for all files of a kind, so that it is shown once."""
    if not suffix:
        return "a name without a suffix"
    command = CONVERTERS.get(suffix)
    advice = f"; convert it: {command.format(suffix=suffix)}" if command else ""
    return f"unknown kind '{suffix}'{advice}"


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


def _nothing_found(path: Path | str, reading: Reading) -> UserError:
    reasons = reason_lines(reading.skipped)
    more = len(reasons) - SHOWN_REASONS
    shown = reasons[:SHOWN_REASONS] + ([f"and {plural(more, 'more reason')}"] if more > 0 else [])
    return UserError(
        "There is no readable document here.",
        where=path,
        expected=KINDS,
        found="\n            ".join(shown) or "no files",
    )
