"""Embedders and rerankers behind an endpoint.

Embedders speak OpenAI's `/embeddings`, as vLLM, llama.cpp, Ollama and most hosts do; rerankers the
`/rerank` that Cohere, Jina, vLLM and others share. Requests go through `steep.ledger.caller`: they
are in the ledger, and nothing is asked for twice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from steep.core.calls import Completion
from steep.core.errors import UserError
from steep.ledger.caller import Sends
from steep.llm.requests import Request, vectors_of
from steep.retrieval.index import Vectors
from steep.retrieval.rerank import Candidates

TEXTS_PER_REQUEST = 64


class EndpointEmbedder:
    """Embeds with a model behind `/embeddings`."""

    def __init__(self, caller: Sends, model: str) -> None:
        self.name = f"{model} at {caller.endpoint}"
        self._caller, self._model = caller, model

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one vector per text: (N, D).

        Raises:
            UserError: The endpoint fails, or the limits of the project are reached.
        """
        where, size = self._caller.endpoint, TEXTS_PER_REQUEST
        requests = [
            Request("embed", where, "embedding", self._model, tuple(texts[n : n + size]))
            for n in range(0, len(texts), size)
        ]
        completions = self._caller.complete(requests)
        hint = f"check that '{self._model}' is a model for embeddings"
        _check_answered(self._caller, completions, hint)
        rows = [row for each in completions for row in vectors_of(each)]
        sizes = sorted({len(row) for row in rows})
        if len(sizes) > 1:
            raise _unusable(self._caller, f"vectors of {sizes} numbers", hint)
        return np.array(rows, dtype=np.float32)


class EndpointReranker:
    """Scores with a model behind `/rerank`, one request per question."""

    def __init__(self, caller: Sends, model: str) -> None:
        self.name = f"{model} at {caller.endpoint}"
        self._caller, self._model = caller, model

    def score(self, candidates: Sequence[Candidates]) -> list[list[float]]:
        """Return the score of each text for its question.

        Raises:
            UserError: The endpoint fails, or the limits of the project are reached.
        """
        where = self._caller.endpoint
        requests = [
            Request("rerank", where, "rerank", self._model, (each.question, *each.texts))
            for each in candidates
        ]
        completions = self._caller.complete(requests)
        hint = f"check that '{self._model}' is a reranker that scores each document"
        _check_answered(self._caller, completions, hint)
        return [[*each.result["scores"]] for each in completions if each.result]


def _check_answered(caller: Sends, completions: Sequence[Completion], hint: str) -> None:
    failed = [each for each in completions if each.error]
    if failed:
        raise _unusable(caller, failed[0].error, hint)


def _unusable(caller: Sends, found: object, hint: str) -> UserError:
    return UserError(
        "The endpoint returned no usable answer.",
        where=f"{caller.endpoint} ({caller.section})",
        found=found,
        hint=f"{hint}; a rerun continues: its answers are kept",
    )
