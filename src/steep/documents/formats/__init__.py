"""PDF, Word, PowerPoint, web pages and EPUB as Markdown; each file in a child process with limits.

A format is one module with `extract(path) -> Extracted` and one line per suffix in `FORMATS`. Its
libraries come with `pip install 'steep[documents]'` and are imported in the child only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from steep.core.files import content_hash
from steep.core.progress import Progress
from steep.documents.child import Answer, ChildLimits, Task, end_idle_children, run_tasks
from steep.documents.clean import clean_text, one_line
from steep.documents.document import EMPTY, Document, Reading, Skipped
from steep.documents.extraction_cache import ExtractionCache, cached_extraction, current_cache

LIMITS = ChildLimits()


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file.

    Attributes:
        name: For messages and `Document.metadata["reader"]`.
        module: Where `extract` is, within this package.
        packages: What it imports.
        version: Raised when the same file would give another text.
    """

    name: str
    module: str
    packages: tuple[str, ...]
    version: int = 1

    @property
    def missing(self) -> str | None:
        """Return the first package that is not installed."""
        return next((each for each in self.packages if find_spec(each) is None), None)


_WEB = Format("HTML", "html", ("lxml", "trafilatura"), version=2)
FORMATS: dict[str, Format] = {
    ".pdf": Format("PDF", "pdf", ("pypdfium2",), version=2),
    ".docx": Format("DOCX", "word", ("lxml",)),
    ".pptx": Format("PPTX", "slides", ("lxml",)),
    ".html": _WEB,
    ".htm": _WEB,
    ".xhtml": _WEB,
    ".epub": Format("EPUB", "epub", ("lxml",)),
}


def read_format(kind: Format, path: Path, name: str, file_id: str) -> Reading:
    """Read a file into one document.

    Args:
        kind: One of `FORMATS`.
        path: The file.
        name: For messages, and the document's source.
        file_id: The document's id.
    """
    if kind.missing:
        reason = f"{kind.name} needs {kind.missing}; pip install 'steep[documents]'"
        return Reading((), (Skipped(name, reason),), 1)
    if not path.stat().st_size:
        return Reading((), (Skipped(name, EMPTY),), 1)
    cache = current_cache() or ExtractionCache()
    key = _key(path, kind)
    if (answer := _known(cache, key)) is None:
        ((_, answer),) = run_tasks([_task(path, kind)], LIMITS)
        _keep(cache, key, answer)
    if answer.value is None:
        reason = answer.failure
        if answer.limited:
            reason += "; split it, or convert it to .md or .txt with another program"
            if cache.directory:
                reason += f" (to try again, delete {cache.path(key)})"
        return Reading((), (Skipped(name, reason),), 1)
    return _reading(answer.value, kind, name, file_id)


@contextmanager
def extracted_ahead(files: Mapping[str, Path]) -> Iterator[None]:
    """Extract the files that no cache has, on all cores, for `read_format` later.

    Args:
        files: Of any kind, by their names; on the disk they may lie under others.
    """
    known = current_cache()
    with nullcontext(known) if known else cached_extraction(None) as cache:
        keys: dict[str, Task] = {}
        for name, path in files.items():
            kind = FORMATS.get(Path(name).suffix.lower())
            if kind and not kind.missing and path.is_file():
                _add(keys, path, kind, cache)
        if len(keys) > 1:
            _extract(keys, cache)
        yield


def _extract(tasks: Mapping[str, Task], cache: ExtractionCache) -> None:
    """Run tasks by their keys on all cores, and keep their answers."""
    keys = {task: key for key, task in tasks.items()}
    progress = Progress("reading", len(tasks), "files")
    try:
        for task, answer in progress.over(run_tasks(keys, LIMITS)):
            _keep(cache, keys[task], answer)
    finally:
        end_idle_children()


def _add(keys: dict[str, Task], path: Path, kind: Format, cache: ExtractionCache) -> None:
    try:
        if not path.stat().st_size:
            return
        key = _key(path, kind)
    except OSError:
        return  # `read_format` meets it again, where it is reported
    if _known(cache, key) is None:
        keys[key] = _task(path, kind)


def _key(path: Path, kind: Format) -> str:
    state = path.stat()
    return f"{kind.module}{kind.version}-{_hash(path, state.st_mtime_ns, state.st_size)}"


@lru_cache(maxsize=100_000)  # a command looks at each file several times
def _hash(path: Path, changed_ns: int, size: int) -> str:
    return content_hash(path)


def _task(path: Path, kind: Format) -> Task:
    return Task(f"{__name__}.{kind.module}", "extract", str(path.resolve()))


def _known(cache: ExtractionCache, key: str) -> Answer | None:
    """Return the kept answer, unless it failed at other limits than today's."""
    entry = cache.get(key)
    try:
        limits = ChildLimits(**entry["limits"]) if entry else None
        answer = Answer(**entry["answer"]) if entry else None
    except (KeyError, TypeError):
        return None  # damaged
    return None if answer is None or (answer.limited and limits != LIMITS) else answer


def _keep(cache: ExtractionCache, key: str, answer: Answer) -> None:
    if not answer.passing:
        cache.put(key, {"answer": asdict(answer), "limits": asdict(LIMITS)})


def _reading(found: Any, kind: Format, name: str, file_id: str) -> Reading:
    """Make the document of what `extract` returned."""
    text = clean_text(found["text"])
    skipped = tuple(Skipped(name, note, kept=True) for note in found["notes"])
    if not text:
        return Reading((), (Skipped(name, "it holds no text"), *skipped), 1)
    document = Document(
        id=file_id,
        title=one_line(found["title"] or "") or Path(name).stem,
        text=text,
        author=one_line(found["author"] or "") or None,
        year=found["year"],
        source=name,
        metadata={"reader": kind.name, **found["metadata"]},
    )
    return Reading((document,), skipped, 1)
