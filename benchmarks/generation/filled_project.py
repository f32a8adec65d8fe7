"""A project whose ledger holds a great plan, finished: what measurements at full size begin with.

A thousand small documents with 46 names each give 1,000 pairs each: a million calls, with answers
of some 200 characters to spare the disk (0.9 GB). Plan, prompts and configuration are the real ones
(EntiGraph), and the ledger is filled by its own `record`, so that `steep status` finds nothing odd.
"""

from __future__ import annotations

import itertools
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from steep.config import Config
from steep.config_loading import load_config
from steep.core.artifacts import Project
from steep.core.calls import Call, Completion, Usage
from steep.documents.document import Document
from steep.generation.plan import PlanView
from steep.generation.setup import recipes_of
from steep.ledger.ledger import Ledger
from steep.ledger.records import Entry, Slot
from steep.recipes.recipe import CallSequence, Recipe
from steep.stages import documents as documents_stage

NAMES = 46  # 1,035 pairs
CALLS_PER_TRANSACTION = 1000
CONFIGURATION = """\
documents:
  path: documents
generate:
  model: instant
  base_url: {url}
  recipes:
    entigraph: {{pairs: {pairs}}}
  max_tokens: 600
  concurrency: 64
"""


@dataclass(frozen=True)
class Filled:
    """A project, opened."""

    config: Config
    project: Project
    documents: Sequence[Document]
    recipe: Recipe
    names: int = NAMES  # in each document

    def view(self, ledger: Ledger) -> PlanView:
        """The plan, with an open ledger."""
        return PlanView(self.documents, (self.recipe,), ledger)


def create(
    folder: Path,
    documents: int,
    pairs: int,
    url: str = "http://127.0.0.1:9/v1",
    names: int = NAMES,
) -> Filled:
    """Write documents and configuration; the ledger is not begun."""
    (folder / "documents").mkdir(parents=True)
    for number in range(documents):
        (folder / "documents" / f"d{number:06}.txt").write_text(document_text(number, names))
    configuration = CONFIGURATION.format(pairs=pairs, url=url)
    (folder / "steep.yaml").write_text(configuration, encoding="utf-8")
    return opened(folder, names)


def opened(folder: Path, names: int = NAMES) -> Filled:
    """Read a project as the stages do."""
    config = load_config(folder / "steep.yaml")
    project = Project(folder)
    documents = documents_stage.peek(config, project)
    return Filled(config, project, documents, recipes_of(config.generate)[0], names)


def document_text(number: int, names: int) -> str:
    """A document that mentions all its names."""
    sentences = [
        f"{name} sold {7 * i + number % 90} barrels to the harbour in a year of storms."
        for i, name in enumerate(names_of(number, names))
    ]
    return f"The ledger of port {number}\n\n" + " ".join(sentences) + "\n"


def names_of(number: int, names: int) -> list[str]:
    """The names in a document."""
    return [f"Marlow{number}x{i}" for i in range(names)]


def fill(filled: Filled, finished: bool = True) -> int:
    """Record the lists of entities and, if `finished`, all other calls; return how many."""
    with Ledger(filled.project.ledger_path) as ledger:
        entries = _entries(filled, finished)
        recorded = 0
        while some := list(itertools.islice(entries, CALLS_PER_TRANSACTION)):
            ledger.record(some)
            recorded += len(some)
    return recorded


def _entries(filled: Filled, finished: bool) -> Iterator[Entry]:
    for document in filled.documents:
        number = int(document.id[1:])
        listed = {
            "summary": f"Who traded in port {number}.",
            "entities": names_of(number, filled.names),
        }
        first = filled.recipe.step("entities").specimen(document)
        answer = json.dumps(listed)
        yield Entry(first, completion(first, answer))
        calls = _pairs(filled, document, answer)
        for rank in range(len(calls) if finished else 0):
            call = calls[rank]
            yield Entry(call, completion(call, _text(call)), Slot(calls.key, rank))


def _pairs(filled: Filled, document: Document, answer: str) -> CallSequence:
    return filled.recipe.step("pairs").calls(document, {"entities": [answer]})


def completion(call: Call, text: str) -> Completion:
    """An answer as an endpoint gives it."""
    usage = Usage(1000, 900, 50)
    return Completion(call.id, text, "stop", usage, 0.001, 1.5, "http://127.0.0.1:9/v1", 1)


def _text(call: Call) -> str:
    about = " and ".join(call.subset)
    return f"{about} traded in barrels. " + f"What {about} wrote to the harbour is lost. " * 3


def fill_missing(filled: Filled) -> None:
    """Record what the ledger lacks."""
    with Ledger(filled.project.ledger_path) as ledger:
        entries = list(_entries(filled, finished=True))
        there = ledger.statuses(entry.call.id for entry in entries)
        ledger.record([entry for entry in entries if entry.call.id not in there])


def forget(filled: Filled, places: Iterable[tuple[int, int]]) -> None:
    """Take calls (number of the document, rank) out of the ledger, as if they were never made."""
    connection = sqlite3.connect(filled.project.ledger_path)
    with connection:
        for number, rank in places:
            document = filled.documents[number]
            answer = json.dumps({"summary": "", "entities": names_of(number, filled.names)})
            call = _pairs(filled, document, answer)[rank]
            for statement in (
                "DELETE FROM slots WHERE call_id = ?",
                "DELETE FROM calls WHERE id = ?",
            ):
                changed = connection.execute(statement, (call.id,)).rowcount
                assert changed == 1, f"{statement}: {changed} rows for {call.subset}"
    connection.close()


def drop_from_memory(path: Path) -> None:
    """Make the operating system forget a file, so that the next reader reads from the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)
