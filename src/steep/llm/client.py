"""The one extension point of this room: a `Client` turns calls into completions, batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from steep.core.calls import Call, Completion


class FatalError(Exception):
    """A failure that concerns every call (bad key, unknown model, no endpoint): stop the run.

    The message is written for the user: what was expected, found, where, what to do.
    """


class Client(Protocol):
    """Something that completes calls: an HTTP endpoint, or a model in this process.

    `complete` never raises for the failure of one call: that becomes a completion with `error` set.
    It raises `FatalError` for what would fail every call. The scheduler keeps up to `concurrency`
    batches of up to `batch_size` calls in flight; the calls of a document stand together.
    """

    endpoint: str
    batch_size: int
    concurrency: int

    async def complete(self, calls: Sequence[Call]) -> list[Completion]:
        """Complete the calls, in the order given."""
        ...

    async def close(self) -> None:
        """Release connections or memory."""
        ...
