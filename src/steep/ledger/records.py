"""The records of the ledger: calls with their outcome and cost, batches, and sums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from steep.core.calls import Call, Completion, Payable, Status, Usage
from steep.core.ids import stable_hash
from steep.ledger.budget import REFUSED_REASONS, Reservation
from steep.ledger.refusal import looks_like_refusal
from steep.llm.thinking import THOUGHT_ONLY, answer_after

IMPORT_ENDPOINT = "import"
CORPUS_STAGE = "corpus"  # the stage of texts that were passages of an exported corpus
IMPORTED_FROM = "imported_from"  # in place of sampling parameters: the file and line of the text
TEXTLESS_REASON = "textless"  # the finish reason of a call that is asked again for lack of text
SKIPPED_REASON = "skipped"  # the finish reason of a call that was not sent, as it cannot fit

# A call that waits in a provider's batch is in the ledger, but has not ended.
LedgerStatus = Status | Literal["submitted"]


class Slot(NamedTuple):
    """The position of a call in a plan: its document's sequence, and its rank in it."""

    sequence: str
    rank: int


class Entry(NamedTuple):
    """A call with its outcome and the slot that it fills, if any."""

    call: Call
    completion: Completion
    slot: Slot | None = None


@dataclass(frozen=True, slots=True)
class SubmittedBatch:
    """Calls that wait at a provider."""

    token: str  # our own name, written to the ledger before the provider hears of the batch
    endpoint: str
    status: str  # `preparing`, then that of the provider
    calls: int
    submitted_at: str
    batch_id: str | None = None  # None until the provider has named the batch
    input_file_id: str | None = None
    finished_at: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class SlotTotals:
    """The sums of the filled slots of a sequence below a rank."""

    counts: Mapping[Status, int]
    usage: Usage
    cost_usd: float
    unpriced: int
    reasoning_tokens: int  # of the answers that were nothing but reasoning


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One row of the ledger, without the messages (see `Ledger.messages_of`)."""

    call_id: str
    recipe: str
    stage: str
    document_id: str
    subset: tuple[str, ...]
    sample: int
    model: str
    status: LedgerStatus
    completion: Completion
    finished_at: str

    @property
    def text(self) -> str:
        """The text of the answer; empty if the call failed."""
        return self.completion.text


class Lost(NamedTuple):
    """Attempts that returned nothing, and what they have cost, or can have cost at most."""

    attempts: int = 0
    tokens: int = 0
    cost_usd: float = 0.0  # as far as prices are known
    unpriced: int = 0  # attempts whose price is not known

    def and_(self, most: Reservation) -> Lost:
        """Return the sum with one more attempt."""
        cost_usd = self.cost_usd + (most.cost_usd or 0.0)
        unpriced = self.unpriced + (most.cost_usd is None)
        return Lost(self.attempts + 1, self.tokens + most.tokens, cost_usd, unpriced)


class FailureGroup(NamedTuple):
    """Calls without a complete answer for the same reason, apart from numbers in it."""

    status: str
    reason: str  # of the first of them
    calls: int
    documents: int  # that they are about
    example: str  # the id of the first of them


class Spending(NamedTuple):
    """Tokens and dollars of a set of calls."""

    usage: Usage
    known_usd: float
    unpriced_usage: Usage  # of answers whose cost is unknown but whose tokens were counted


@dataclass(frozen=True, slots=True)
class ImportedText:
    """A text that was generated elsewhere.

    Attributes:
        source: The file and the line that it was read from.
        subset: What it is about, such as names of entities.
        passage_id: The id of a passage of an exported corpus, which names its call and, after
            `OF_DOCUMENT`, its document. `sample` is then its number in that corpus.
    """

    document_id: str
    recipe: str
    model: str
    sample: int
    text: str
    source: str = ""
    subset: tuple[str, ...] = ()
    passage_id: str = ""

    @property
    def id(self) -> str:
        """An id in place of a call id: the same text is imported once."""
        return self.passage_id or stable_hash(
            ["import", self.recipe, self.model, self.document_id, self.sample, self.text]
        )

    @property
    def completion(self) -> Completion:
        """The text as a completion without cost and with an unknown finish reason."""
        return Completion(
            call_id=self.id,
            text=self.text,
            finish_reason="unknown",
            usage=Usage(),
            cost_usd=0.0,
            latency_s=0.0,
            endpoint=IMPORT_ENDPOINT,
            attempts=0,
        )


def has_failed(completion: Completion) -> bool:
    """Return whether a call failed; cheaper than `status_of`."""
    return completion.error is not None and completion.finish_reason != SKIPPED_REASON


def without_prompt(call: Payable, completion: Completion) -> Completion:
    """Return the completion of a call without the prompt that some servers repeat before it."""
    if not isinstance(call, Call):
        return completion
    answer = answer_after(call.messages[-1].content, completion.text)
    return completion if answer == completion.text else replace(completion, text=answer)


def status_of(completion: Completion) -> Status:
    """Return the status of a call from its completion."""
    if completion.finish_reason == SKIPPED_REASON:
        return "skipped"
    if has_failed(completion):
        return "failed"
    if completion.finish_reason in REFUSED_REASONS:  # often without any text
        return "refused"
    if completion.result is not None:
        return "done"
    if not completion.text.strip():
        return "reasoning" if completion.finish_reason == THOUGHT_ONLY else "empty"
    if completion.finish_reason == "length":
        return "truncated"
    return "refused" if looks_like_refusal(completion.text) else "done"
