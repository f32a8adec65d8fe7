"""Store the messages of calls, each long part only once: thousands of calls send one document."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from steep.core.calls import Message
from steep.core.ids import stable_hash
from steep.ledger.rows import pack, quoted, unpack

SHORT_PART = 400  # characters; shorter parts vary from call to call and stand in the call's row
MOST_REMEMBERED = 64


class Parts:
    """The table `parts`; a call's row holds the hashes of long parts and the text of short ones."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._named: dict[str, str] = {}  # long parts that were written, and what names them

    def keep(self, messages: Sequence[Message]) -> str:
        """Write the long parts, in the caller's transaction; return JSON that names them all."""
        named = (f'["{each.role}",[{",".join(map(self._name, each.parts))}]]' for each in messages)
        return f"[{','.join(named)}]"

    def read(self, named: str) -> tuple[Message, ...]:
        """Return the messages that `keep` was given."""
        return tuple(
            Message(role, tuple(self._text(part) for part in parts))
            for role, parts in json.loads(named)
        )

    def forget(self) -> None:
        """Forget which parts were written: a transaction has failed."""
        self._named.clear()

    def _name(self, text: str) -> str:
        if len(text) <= SHORT_PART:
            return f"[{quoted(text)}]"
        if text not in self._named:
            if len(self._named) >= MOST_REMEMBERED:
                self._named.clear()
            part = stable_hash(text)
            self._connection.execute(
                "INSERT OR IGNORE INTO parts VALUES (?, ?)", (part, pack(text))
            )
            self._named[text] = f'"{part}"'
        return self._named[text]

    def _text(self, part: Any) -> str:
        if isinstance(part, list):
            return str(part[0])
        ((text,),) = self._connection.execute("SELECT text FROM parts WHERE hash = ?", (part,))
        return unpack(text)
