"""Requests of evaluations, judges and searches to a server; they generate no passage.

Five kinds, all of OpenAI's API or close to it: a chat message, the continuation of a prompt, the
log-probabilities of a prompt (`echo`, as vLLM gives them), embeddings, and reranking
(`/rerank` of Cohere, Jina, vLLM and others). This module builds their bodies and reads their
replies; the client that sends them is that of generation.
"""

from __future__ import annotations

import base64
import json
import math
import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from steep.core.calls import ID_DIGITS, MESSAGE_TOKENS, Completion
from steep.core.ids import stable_hash
from steep.llm.client import CONTEXT_REASON, UNUSABLE_REASON
from steep.llm.openai_counts import read_input_usage, read_usage
from steep.llm.openai_errors import RejectedRequest, TooLong, short
from steep.llm.openai_wire import ParsedAnswer, read_answer
from steep.llm.thinking import answer_after

if TYPE_CHECKING:  # it loads aiohttp
    from steep.llm.openai import OpenAIClient

Kind = Literal["chat", "completion", "echo", "embedding", "rerank"]
PATHS: dict[Kind, str] = {
    "chat": "chat/completions",
    "completion": "completions",
    "echo": "completions",
    "embedding": "embeddings",
    "rerank": "rerank",
}
REJECTED_REASON = "rejected"  # the finish reason of a request that will never succeed
ECHO = {"max_tokens": 1, "temperature": 0.0, "echo": True, "logprobs": 1}
MOST_BOUNDARY_TOKENS = 8  # that a tokenizer may make of a continuation beyond one for each byte


@dataclass(frozen=True)
class Request:
    """One request, addressed by its content: it is never paid for twice.

    Its parts are, for a chat or completion, pieces of one text; for an echo, the prompt and its
    continuation; for an embedding, the texts; for a reranking, the question and the texts.
    """

    purpose: str  # as spending is shown: "evaluate base", "judge", "embed"
    endpoint: str  # the base address of the server
    kind: Kind
    model: str  # the name that the server knows
    parts: tuple[str, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)  # the rest of the body

    @cached_property
    def id(self) -> str:
        """Hash of purpose, address and body."""
        return stable_hash([self.purpose, self.endpoint, PATHS[self.kind], self.body], ID_DIGITS)

    @property
    def body(self) -> dict[str, Any]:
        """The JSON that is sent, written in full."""
        whole = "".join(self.parts)
        match self.kind:
            case "chat":
                own: dict[str, Any] = {"messages": [{"role": "user", "content": whole}]}
            case "completion":
                own = {"prompt": whole}
            case "echo":
                own = {"prompt": whole, **ECHO}
            case "embedding":
                own = {"input": list(self.parts), "encoding_format": "float"}
            case "rerank":
                question, *texts = self.parts
                # Some return ten scores unless asked for more.
                own = {"query": question, "documents": texts, "top_n": len(texts)}
        return {"model": self.model, **own, **self.parameters}

    @property
    def prompt_bound(self) -> int:
        """An upper bound on the prompt tokens of any byte-level tokenizer."""
        sizes = [len(part.encode()) for part in self.parts]
        if self.kind == "rerank":  # the question is read again with each text
            return sizes[0] * (len(sizes) - 1) + sum(sizes[1:]) + MESSAGE_TOKENS * len(sizes)
        return sum(sizes) + MESSAGE_TOKENS * len(sizes)

    @property
    def answer_bound(self) -> int:
        """The maximum number of tokens of the answer."""
        return 1 if self.kind == "echo" else int(self.parameters.get("max_tokens", 0))


class RequestClient:
    """Completes one request at a time; implements `steep.llm.client.Completes`."""

    batch_size = 1

    def __init__(self, client: OpenAIClient) -> None:
        self.client = client
        self.endpoint, self.concurrency = client.endpoint, client.concurrency

    async def complete(self, requests: Sequence[Request], /) -> list[Completion]:
        """Complete a request, with one attempt.

        Raises:
            TransientError: Another attempt may succeed.
            FatalError: The endpoint will complete no request at all.
        """
        (request,) = requests
        started = time.monotonic()
        value: Any = None
        result: dict[str, Any] = {}
        error: RejectedRequest | None = None
        try:
            value = await self.client.post(PATHS[request.kind], request.body)
            result = READERS[request.kind](request, value)
            reason = str(result.get("finish_reason", "stop"))
        except RejectedRequest as rejected:
            error = rejected
            reason = CONTEXT_REASON if isinstance(error, TooLong) else REJECTED_REASON
            reason = reason if value is None else UNUSABLE_REASON
        text, reads = str(result.get("text", "")), request.kind in ("embedding", "rerank")
        usage = read_input_usage(value) if reads else read_usage(value, with_text=bool(text))
        answer = ParsedAnswer(text, reason, usage)
        return [self.client.completion(request, started, answer, error, result or None)]

    async def close(self) -> None:
        """Close all connections; another request opens them again."""
        await self.client.close()


def _read_text(request: Request, value: Any) -> dict[str, Any]:
    answer = read_answer(value)
    logprobs = value["choices"][0].get("logprobs") if value.get("choices") else None
    values = logprobs.get("token_logprobs") if isinstance(logprobs, Mapping) else None
    own: list[Any] = values if isinstance(values, list) else []
    known = bool(own) and all(map(_is_number, own))
    return {
        "text": answer_after("".join(request.parts), answer.text),
        "finish_reason": answer.finish_reason,
        "logprob": math.fsum(own) if known else None,
    }


def _read_echo(request: Request, value: Any) -> dict[str, Any]:
    """Read the number of a text's tokens, and the log-probabilities of its last ones."""
    try:
        values = value["choices"][0]["logprobs"]["token_logprobs"]
        tokens = int(value["usage"]["prompt_tokens"])
        own = [float(each) if _is_number(each) else None for each in values[:tokens]]
    except (KeyError, IndexError, TypeError, ValueError):
        raise RejectedRequest("the reply has no log-probabilities, or no count of tokens") from None
    if len(own) < tokens:
        raise RejectedRequest(f"log-probabilities of {len(own)} tokens of {tokens}")
    kept = len(request.parts[-1].encode()) + MOST_BOUNDARY_TOKENS  # without the prompt's
    return {"tokens": tokens, "logprobs": own[-kept:]}


def _read_vectors(request: Request, value: Any) -> dict[str, Any]:
    try:
        rows = {int(each["index"]): each["embedding"] for each in value["data"]}
        ordered = [array("f", map(float, rows[n])) for n in range(len(request.parts))]
    except (KeyError, TypeError, ValueError, OverflowError):
        raise RejectedRequest(f"no vectors: {short(json.dumps(value))}") from None
    sizes = sorted({len(row) for row in ordered})
    if len(sizes) > 1:
        raise RejectedRequest(f"vectors of {sizes} numbers")
    return {"vectors": [base64.b64encode(row.tobytes()).decode() for row in ordered]}


def _read_scores(request: Request, value: Any) -> dict[str, Any]:
    try:
        scores = {int(each["index"]): float(each["relevance_score"]) for each in value["results"]}
        ordered = [scores[n] for n in range(len(request.parts) - 1)]
        if not all(map(math.isfinite, ordered)):
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise RejectedRequest(f"no scores: {short(json.dumps(value))}") from None
    return {"scores": ordered}


READERS: dict[Kind, Callable[[Request, Any], dict[str, Any]]] = {
    "chat": _read_text,
    "completion": _read_text,
    "echo": _read_echo,
    "embedding": _read_vectors,
    "rerank": _read_scores,
}


def vectors_of(completion: Completion) -> list[array[float]]:
    """Return the vectors that an embedding request has returned."""
    assert completion.result is not None
    found = []
    for each in completion.result["vectors"]:
        row = array("f")
        row.frombytes(base64.b64decode(each))
        found.append(row)
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
