"""The messages of all calls in the ledger, part by part, to search them for a text.

A long part is stored once however many calls send it, and so it is searched once.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import NamedTuple

from steep.ledger.ledger import Ledger
from steep.ledger.records import IMPORT_ENDPOINT
from steep.ledger.rows import unpack


class StoredPart(NamedTuple):
    """A long part of messages, of calls or of requests, under its hash."""

    hash: str
    text: str


class CallParts(NamedTuple):
    """The parts of the messages of a call: texts of short ones, hashes of long ones."""

    call_id: str
    recipe: str
    short: tuple[str, ...]
    long: tuple[str, ...]


def stored_parts(ledger: Ledger) -> Iterator[StoredPart]:
    """Yield each long part; few are in memory at once."""
    for name, text in ledger.select("SELECT hash, text FROM parts"):
        yield StoredPart(name, unpack(text))


def parts_of_calls(ledger: Ledger) -> Iterator[CallParts]:
    """Yield the parts of every call that was sent or is to be; imported texts have none."""
    query = f"SELECT id, recipe, messages FROM calls WHERE endpoint != '{IMPORT_ENDPOINT}'"
    for call_id, recipe, messages in ledger.select(query):
        parts = [part for _, own in json.loads(messages) for part in own]
        short = tuple(part[0] for part in parts if isinstance(part, list))
        yield CallParts(call_id, recipe, short, tuple(p for p in parts if isinstance(p, str)))


def count_imported(ledger: Ledger, recipes: Collection[str]) -> int:
    """Return the number of imported texts of these recipes."""
    marks = ", ".join("?" * len(recipes))
    query = (
        f"SELECT count(*) FROM calls WHERE endpoint = '{IMPORT_ENDPOINT}' AND recipe IN ({marks})"
    )
    return int(next(ledger.select(query, tuple(recipes)))[0])


def last_call(ledger: Ledger) -> tuple[int, int]:
    """Return the number of calls and the last row: both grow with every new call."""
    ((number, last),) = ledger.select("SELECT count(*), max(rowid) FROM calls")
    return number, last or 0
