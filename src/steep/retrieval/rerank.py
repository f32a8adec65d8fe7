"""Rerankers read a question and a chunk together, which ranks better than a search.

`Reranker` is the extension point. Built in are a cross-encoder on disk, an endpoint (`/rerank`, as
Cohere, Jina, vLLM and others share it), and the model under evaluation itself: the likelihood of
the question after the chunk (Sachan et al., EMNLP 2022), a forward pass over each chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from steep.core.errors import UserError
from steep.ledger.caller import Sends
from steep.llm.requests import Request
from steep.retrieval.config import RetrievalConfig
from steep.retrieval.embed import check_answered, directory_name
from steep.retrieval.index import need

# The mean log-probability of the tokens of each continuation, after its prompt and a blank.
Likelihood = Callable[[Sequence[str], Sequence[str]], Sequence[float]]


class Candidates(NamedTuple):
    """The texts that a search found for a question."""

    question: str
    texts: tuple[str, ...]


class Reranker(Protocol):
    """Scores how well texts fit a question; higher is better."""

    name: str  # identifies everything that changes the scores: equal names may share a cache

    def score(self, candidates: Sequence[Candidates]) -> list[list[float]]:
        """Return a finite score for each text of each question."""
        ...


class LikelihoodReranker:
    """Scores a text by the likelihood of the question after it, under the named model."""

    def __init__(self, model: str, likelihood: Likelihood) -> None:
        self.name = f"likelihood of the question under {model}"
        self._likelihood = likelihood

    def score(self, candidates: Sequence[Candidates]) -> list[list[float]]:
        """Return the mean log-probability of a token of the question, for each text."""
        prompts = [f"{text}\n\nQuestion:" for each in candidates for text in each.texts]
        asked = [each.question for each in candidates for _ in each.texts]
        scores = iter(self._likelihood(prompts, asked))
        return [[next(scores) for _ in each.texts] for each in candidates]


class LocalReranker:
    """Scores with a cross-encoder.

    Raises:
        UserError: The directory or the package is missing.
    """

    def __init__(self, path: Path) -> None:
        self.name = directory_name(path)
        package = need("sentence_transformers", "sentence-transformers")
        self._model: Any = package.CrossEncoder(str(path), local_files_only=True)

    def score(self, candidates: Sequence[Candidates]) -> list[list[float]]:
        """Return the score of each text for its question.

        Raises:
            UserError: The model does not return one number per pair.
        """
        pairs = [(each.question, text) for each in candidates for text in each.texts]
        scores = self._model.predict(pairs, show_progress_bar=False)
        if scores.shape != (len(pairs),):
            raise UserError(
                "This cross-encoder does not return one score per text.",
                where=self.name,
                expected=f"({len(pairs)},)",
                found=scores.shape,
                hint="use a model with a single label",
            )
        values = iter(scores.tolist())
        return [[next(values) for _ in each.texts] for each in candidates]


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
        check_answered(self._caller, completions, hint)
        return [[*each.result["scores"]] for each in completions if each.result]


def open_reranker(
    settings: RetrievalConfig, root: Path = Path(), caller: Sends | None = None
) -> Reranker | None:
    """Open the configured reranker; None for "none", and for "likelihood", which needs a model.

    Raises:
        UserError: Its package or directory is missing.
    """
    match settings.reranker:
        case "none" | "likelihood":
            return None
        case "cross-encoder":
            return LocalReranker(root / settings.reranker_model)
    assert caller is not None and settings.reranker_server is not None
    return EndpointReranker(caller, settings.reranker_server.model)
