"""Rerankers read a question and a chunk together, and so judge better than a search can.

`Reranker` is the extension point. Built in are a cross-encoder on disk (`local.py`), an endpoint
(`remote.py`), and, where neither is at hand, the reading model itself: how likely the question is
after the chunk (Sachan et al., EMNLP 2022). The last costs a forward pass of the model over each
chunk, so `RetrievalConfig.reranked` should be small.
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
    """Something that judges how well texts fit a question; more is better.

    Attributes:
        name: Says all that changes the scores: equal names may share a cache.
    """

    name: str

    def score(self, candidates: Sequence[Candidates]) -> list[list[float]]:
        """A finite score for each text of each question."""
        ...


class LikelihoodReranker:
    """Scores a text by how likely its reader finds the question after it.

    Args:
        model: Name of the reading model, for the cache.
        likelihood: Computes mean log-probabilities; it comes from whoever holds the model.
    """

    def __init__(self, model: str, likelihood: Likelihood) -> None:
        self.name = f"likelihood of the question under {model}"
        self._likelihood = likelihood

    def score(self, candidates: Sequence[Candidates]) -> list[list[float]]:
        """The mean log-probability of a token of the question, for each text."""
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
