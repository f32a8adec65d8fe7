"""An engine for actors: what it writes depends on the whole group; it notes who wrote what."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from steep.core.calls import Call, Completion, Usage
from steep.core.errors import UserError
from steep.core.ids import stable_hash
from steep.llm.client import FatalError, TransientError


@dataclass
class ToyEngine:
    notes: Path
    delay_s: float = 0.0
    batch_size: int = 4
    concurrency: int = 1
    endpoint: str = "in process"
    under_way: int = 0

    async def complete(self, calls: Sequence[Call]) -> list[Completion]:
        assert self.under_way < self.concurrency, "an engine gets no more than it takes"
        self.under_way += 1
        await asyncio.sleep(self.delay_s)
        self.under_way -= 1
        wish = calls[0].subset[0]
        if wish == "crash":
            os._exit(1)
        if wish == "fatal":
            raise FatalError("The engine is broken.\n  do:       mend it")
        if wish == "busy":
            raise TransientError("too much", wait_s=2.5, overloaded=True)
        if wish == "bug":
            raise ZeroDivisionError("by nothing")
        with (self.notes / str(os.getpid())).open("a") as file:
            file.write(f"{calls[0].id}\n")
        group = stable_hash([call.id for call in calls])
        return [
            Completion(
                call.id, f"{call.id} in {group}", "stop", Usage(3, 0, 2), 0.0, 0.1, "here", 1
            )
            for call in calls
        ]

    async def close(self) -> None:
        return None


def broken_engine() -> ToyEngine:
    raise UserError("There is no such model.", found="/nowhere")
