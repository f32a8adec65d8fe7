"""What the ledger knows about a call: how it ended, what came back, what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from steep.core.calls import Completion, Status, Usage
from steep.core.ids import stable_hash
from steep.core.refusal import looks_like_refusal

IMPORT_ENDPOINT = "import"
REFUSED_REASONS = frozenset({"content_filter", "refusal"})


@dataclass(frozen=True, slots=True)
class Record:
    """One row of the ledger, without the messages (see `Ledger.messages_of`)."""

    call_id: str
    recipe: str
    stage: str
    document_id: str
    subset: tuple[str, ...]
    sample: int
    model: str
    status: Status
    completion: Completion
    finished_at: str

    @property
    def text(self) -> str:
        """The text that came back; empty when the call failed."""
        return self.completion.text


class Spending(NamedTuple):
    """Tokens and dollars of a set of calls; no cost when that of any answer is unknown."""

    usage: Usage
    cost_usd: float | None


@dataclass(frozen=True, slots=True)
class ImportedText:
    """A text that somebody else generated."""

    document_id: str
    recipe: str
    model: str
    sample: int
    text: str

    @property
    def id(self) -> str:
        """Stands for the call id: the same text is imported once."""
        return stable_hash(
            ["import", self.recipe, self.model, self.document_id, self.sample, self.text]
        )

    @property
    def completion(self) -> Completion:
        """The text as a completion that cost nothing; how it ended is not known."""
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


def status_of(completion: Completion) -> Status:
    """Say how a call ended, from what came back."""
    if completion.error is not None:
        return "failed"
    if completion.finish_reason in REFUSED_REASONS:  # often without any text
        return "refused"
    if not completion.text.strip():
        return "empty"
    if completion.finish_reason == "length":
        return "truncated"
    return "refused" if looks_like_refusal(completion.text) else "done"
