"""Rerankers read a question and a chunk together, which ranks better than a search.

`Reranker` is the extension point. Built in are a cross-encoder on disk (`local.py`), an endpoint
(`remote.py`), and the model under evaluation itself: the likelihood of the question after the chunk
(Sachan et al., EMNLP 2022). The last costs a forward pass of the model over each chunk, so
`RetrievalConfig.reranked` should be small.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from steep.ledger.caller import Sends
from steep.retrieval.config import RetrievalConfig

# The mean log-probability of the tokens of each continuation, after its prompt and a blank.
Likelihood = Callable[[Sequence[str], Sequence[str]], Sequence[float]]


class Candidates(NamedTuple):
    """The texts that a search found for a question."""

    question: str
    texts: tuple[str, ...]


class Reranker(Protocol):
    """Scores how well texts fit a question; higher is better.

    Attributes:
        name: Identifies everything that changes the scores: equal names may share a cache.
    """

    name: str

    def score(self, candidates: Sequence[Candidates]) -> list[list[float]]:
        """Return a finite score for each text of each question."""
        ...


class LikelihoodReranker:
    """Scores a text by the likelihood of the question after it.

    Args:
        model: Name of the model, for the cache.
        likelihood: Computes mean log-probabilities.
    """

    def __init__(self, model: str, likelihood: Likelihood) -> None:
        self.name = f"likelihood of the question under {model}"
        self._likelihood = likelihood

    def score(self, candidates: Sequence[Candidates]) -> list[list[float]]:
        """Return the mean log-probability of a token of the question, for each text."""
        prompts = [f"{text}\n\nQuestion:" for each in candidates for text in each.texts]
        asked = [each.question for each in candidates for _ in each.texts]
        scores = iter(self._likelihood(prompts, asked))
        return [[next(scores) for _ in each.texts] for each in candidates]


def open_reranker(
    settings: RetrievalConfig,
    root: Path = Path(),
    caller: Sends | None = None,
) -> Reranker | None:
    """Open the configured reranker; None for "none", and for "likelihood", which needs a model.

    Args:
        settings: Which reranker.
        root: The directory that a relative path starts at.
        caller: Sends requests to the endpoint of `reranker: endpoint`.

    Raises:
        UserError: Its package or directory is missing.
    """
    match settings.reranker:
        case "none" | "likelihood":
            return None
        case "cross-encoder":
            from steep.retrieval.local import LocalReranker

            return LocalReranker(root / settings.reranker_model)
    from steep.retrieval.remote import EndpointReranker

    assert caller is not None and settings.reranker_server is not None
    return EndpointReranker(caller, settings.reranker_server.model)
