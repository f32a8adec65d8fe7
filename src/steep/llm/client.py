"""The extension point of this package: a `Client` turns calls into completions, in batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, InitVar, dataclass
from typing import NamedTuple, Protocol, TypeVar

from steep.core.calls import Call, Completion, Payable, Usage
from steep.core.errors import UserError

UNUSABLE_REASON = "unusable"  # the finish reason of an answer that could not be used
CONTEXT_REASON = "context"  # the finish reason of a prompt that exceeds the model's context


Sent = TypeVar("Sent", bound=Payable, contravariant=True)


class FatalError(UserError):
    """A failure that concerns every call (bad key, unknown model, no endpoint): stop the run."""


@dataclass(eq=False, repr=False)
class TransientError(Exception):
    """An attempt failed, and another may succeed."""

    reason: InitVar[str]
    _: KW_ONLY
    wait_s: float | None = None  # seconds that the endpoint asks to wait (Retry-After)
    overloaded: bool = False  # 429, 503, no answer in time
    answered: bool = True  # some reply was received: the endpoint is alive
    sent: bool = True  # False if no connection was made
    billed: bool = False  # it began to answer with success, so it may charge for the attempt
    usage: Usage | None = None  # of such an answer, if it was reported plausibly
    cost_usd: float | None = None  # of that usage, if both are known

    def __post_init__(self, reason: str) -> None:
        super().__init__(reason)


class DecodingStep(NamedTuple):
    """How far a model in this process is with the calls that it completes together.

    Attributes:
        new_tokens: Tokens just written, of all texts.
        calls: The number of calls; 0 if the engine completes each by itself.
        ended: How many of their texts are complete.
        tokens: Tokens so far of each text that is being written.
        most_tokens: Tokens that a text may have.
    """

    new_tokens: int
    calls: int = 0
    ended: int = 0
    tokens: int = 0
    most_tokens: int = 0


class Completes(Protocol[Sent]):
    """Something that completes calls, or other requests to a model.

    The scheduler keeps up to `concurrency` batches of up to `batch_size` calls in flight, with the
    calls of a document together. Retries, pauses and rate limits are up to the scheduler.
    """

    endpoint: str
    batch_size: int
    concurrency: int

    async def complete(self, calls: Sequence[Sent], /) -> list[Completion]:
        """Complete the calls in one attempt, in the given order.

        A call that can never succeed comes back with `error` set.

        Raises:
            TransientError: None was completed, but another attempt may succeed.
            FatalError: No call at all will succeed.
        """
        ...

    async def close(self) -> None:
        """Release connections or memory."""
        ...


class Client(Completes[Call], Protocol):
    """Something that completes generator calls: an HTTP endpoint, or a model in this process."""
