"""`Call` and `Completion`, which recipes, clients and the ledger share.

A call is content-addressed: its id is a hash of the model, the sampling parameters, the messages
and the sample number, so that no call is paid twice, in this run or any other of the project.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Literal, Protocol

from steep.core.ids import canonical_json, derive_seed

ID_DIGITS = 32
MESSAGE_TOKENS = 16  # of the chat template, around each message
OF_DOCUMENT = "@"  # separates call and document in the ids of passages of a shared call
RAW_RECIPE = "documents"  # stands for the raw texts themselves; no recipe has this name

Role = Literal["system", "user", "assistant"]

# How a planned call ends. Totals add up: planned = the sum of these + still to do.
Status = Literal["done", "refused", "truncated", "empty", "reasoning", "failed", "skipped"]
STATUSES: tuple[Status, ...] = (
    "done", "refused", "truncated", "empty", "reasoning", "failed", "skipped",
)  # fmt: skip
WITHOUT_TEXT: tuple[Status, ...] = ("empty", "reasoning")  # answered, but with no text to keep


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message, kept in parts: a document that many calls send is stored only once."""

    role: Role
    parts: tuple[str, ...]

    @property
    def content(self) -> str:
        """The text that is sent."""
        return "".join(self.parts)

    @property
    def in_json(self) -> str:
        """The content escaped for a JSON string, without the quotation marks."""
        return "".join(map(in_json, self.parts))


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling parameters; `json_schema` (canonical JSON text) asks for structured output.

    `reasoning_effort` is how much a model reasons before its answer; None: its own default.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 2048
    frequency_penalty: float = 0.0  # off the logit of a token, for each time it was written
    json_schema: str | None = None
    reasoning_effort: str | None = None


@lru_cache(maxsize=64)
def sampling_json(sampling: Sampling) -> str:
    """Return the canonical JSON of sampling parameters, without an effort that is not set."""
    fields = asdict(sampling)
    if sampling.reasoning_effort is None:  # calls from before it existed keep their ids
        del fields["reasoning_effort"]
    return canonical_json(fields)


@lru_cache(maxsize=64)  # a document stands in the prompts of many calls
def in_json(text: str) -> str:
    """Return a text escaped for a JSON string, without the quotation marks."""
    return canonical_json(text)[1:-1]


@lru_cache(maxsize=64)
def byte_count(text: str) -> int:
    """Return the bytes of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


class Payable(Protocol):
    """Something that is sent to a model and may cost money."""

    @property
    def id(self) -> str:
        """Hash of its content: the same request is never paid for twice."""
        ...

    @property
    def model(self) -> str:
        """The name of the model at the endpoint."""
        ...

    @property
    def prompt_bound(self) -> int:
        """An upper bound on the prompt tokens of any byte-level tokenizer."""
        ...

    @property
    def answer_bound(self) -> int:
        """The maximum number of tokens of the answer."""
        ...


@lru_cache(maxsize=64)
def _hash_before_the_last_part(
    model: str,
    sampling: Sampling,
    before: tuple[Message, ...],
    role: Role,
    parts: tuple[str, ...],
) -> hashlib.blake2b:
    messages = "".join(f'["{each.role}","{each.in_json}"],' for each in before)
    opened = f'["{role}","{"".join(map(in_json, parts))}'
    head = f"[{canonical_json(model)},{sampling_json(sampling)},[{messages}{opened}"
    return hashlib.blake2b(head.encode(), digest_size=32)


@dataclass(frozen=True)
class Call:
    """One request to a generator. `subset` names the entities (or other choice) it is about.

    Attributes:
        textless: How many attempts gave an answer without text. They change the seed and not the
            id: the same seed might only give the same nothing again.
    """

    recipe: str
    stage: str
    document_id: str
    subset: tuple[str, ...]
    sample: int
    model: str
    messages: tuple[Message, ...]
    sampling: Sampling = field(default_factory=Sampling)
    textless: int = 0

    @property
    def seed(self) -> int:
        """A seed of 63 bits derived from the id: a repeated call asks for the same text."""
        return derive_seed(self.id, self.textless) if self.textless else derive_seed(self.id)

    @cached_property
    def id(self) -> str:
        """Hash of model, sampling parameters, rendered messages and sample number."""
        # Of the canonical JSON of [model, sampling, [[role, content], ...], sample]; all of it but
        # the last part is the same in hundreds of calls, and hashed once for them.
        *before, last = self.messages
        state = _hash_before_the_last_part(
            self.model, self.sampling, tuple(before), last.role, last.parts[:-1]
        ).copy()
        end = canonical_json(last.parts[-1])[1:-1] if last.parts else ""
        state.update(f'{end}"]],{self.sample}]'.encode())
        return state.hexdigest()[:ID_DIGITS]

    @property
    def prompt_bound(self) -> int:
        """An upper bound on the prompt tokens of any byte-level tokenizer."""
        parts = (MESSAGE_TOKENS + sum(map(byte_count, each.parts)) for each in self.messages)
        schema = self.sampling.json_schema
        return sum(parts) + (byte_count(schema) if schema else 0)

    @property
    def answer_bound(self) -> int:
        """The maximum number of tokens of the answer."""
        return self.sampling.max_tokens


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call, as the endpoint counted them.

    Cached tokens are part of the prompt's, and tokens of reasoning, as far as they are reported,
    part of the completion's.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def text_tokens(self) -> int:
        """The tokens of the completion without those of reasoning."""
        return self.completion_tokens - self.reasoning_tokens


@dataclass(frozen=True, slots=True)
class Completion:
    """The outcome of a call; without a usable answer, `error` is set and `text` is empty.

    `cost_usd` is None when no price is known: unknown is never shown as zero. `result` holds what
    a request that generates no passage has returned (see `steep.llm.requests`); None for a call.
    """

    call_id: str
    text: str
    finish_reason: str
    usage: Usage
    cost_usd: float | None
    latency_s: float
    endpoint: str
    attempts: int
    error: str | None = None
    result: Mapping[str, Any] | None = None
