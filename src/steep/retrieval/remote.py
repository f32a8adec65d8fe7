"""Embedders and rerankers behind an endpoint.

Embedders speak OpenAI's `/embeddings`, as vLLM, llama.cpp, Ollama and most hosts do; rerankers the
`/rerank` that Cohere, Jina, vLLM and others share.
Import this module only from the function that needs it: aiohttp costs 0.4 s.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from steep.core.errors import UserError
from steep.retrieval.endpoint import Endpoint
from steep.retrieval.index import Vectors
from steep.retrieval.rerank import Candidates

TEXTS_A_REQUEST = 64


class EndpointEmbedder:
    """Embeds with a model behind `/embeddings`; `prompt_tokens` counts what it read."""

    def __init__(self, endpoint: Endpoint, model: str) -> None:
        self.name = f"{model} at {endpoint.base_url}"
        self.prompt_tokens = 0
        self._endpoint, self._model = endpoint, model

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One vector a text.

        Raises:
            UserError: The endpoint fails, or sends something else.
        """
        batches = [texts[n : n + TEXTS_A_REQUEST] for n in range(0, len(texts), TEXTS_A_REQUEST)]
        bodies = [
            {"model": self._model, "input": list(batch), "encoding_format": "float"}
            for batch in batches
        ]
        replies = self._endpoint.post_all("embeddings", bodies)
        self.prompt_tokens += sum(map(_prompt_tokens, replies))
        rows = [
            row
            for reply, batch in zip(replies, batches, strict=True)
            for row in self._rows(reply, len(batch))
        ]
        if len({len(row) for row in rows}) > 1:
            raise self._unusable(f"vectors of {sorted({len(row) for row in rows})} numbers")
        return np.array(rows, dtype=np.float32)

    def _rows(self, reply: Any, count: int) -> list[list[float]]:
        try:
            rows = {int(each["index"]): each["embedding"] for each in reply["data"]}
            ordered = [[float(number) for number in rows[n]] for n in range(count)]
        except (KeyError, TypeError, ValueError):
            raise self._unusable(f"{json.dumps(reply)[:120]}") from None
        return ordered

    def _unusable(self, found: str) -> UserError:
        hint = f"check that '{self._model}' is a model for embeddings"
        return self._endpoint.failure("embeddings", found, hint)


class EndpointReranker:
    """Scores with a model behind `/rerank`, one request a question."""

    def __init__(self, endpoint: Endpoint, model: str) -> None:
        self.name = f"{model} at {endpoint.base_url}"
        self._endpoint, self._model = endpoint, model

    def score(self, candidates: Sequence[Candidates]) -> list[list[float]]:
        """The score of each text for its question.

        Raises:
            UserError: The endpoint fails, or sends something else.
        """
        bodies = [
            {
                "model": self._model,
                "query": each.question,
                "documents": list(each.texts),
                "top_n": len(each.texts),  # some return ten unless asked
            }
            for each in candidates
        ]
        replies = self._endpoint.post_all("rerank", bodies)
        return [
            self._scores(reply, len(each.texts))
            for reply, each in zip(replies, candidates, strict=True)
        ]

    def _scores(self, reply: Any, count: int) -> list[float]:
        try:
            scores = {int(each["index"]): each["relevance_score"] for each in reply["results"]}
            ordered = [float(scores[index]) for index in range(count)]
            if not all(map(math.isfinite, ordered)):
                raise ValueError
        except (KeyError, TypeError, ValueError):
            hint = f"check that '{self._model}' is a reranker that scores each document"
            raise self._endpoint.failure("rerank", json.dumps(reply)[:120], hint) from None
        return ordered


def _prompt_tokens(reply: Any) -> int:
    usage = reply.get("usage") if isinstance(reply, dict) else None
    count = usage.get("prompt_tokens") if isinstance(usage, dict) else 0
    return count if isinstance(count, int) else 0
