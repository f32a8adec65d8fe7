"""Settings of the evaluation: questions, open book, summaries, forgetting."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt

from steep.core.config import Section
from steep.ledger.config import ServerConfig
from steep.retrieval.config import RetrievalConfig

BASE = "base"  # what the results call the model that training starts from


class EvaluateConfig(Section):
    """What is asked closed book, how, and how an answer is read."""

    questions: Path | None = Field(None, description="JSONL, or QuALITY's own format; null: none")
    split: Literal["all", "validation", "test"] = Field(
        "all", description="of the documents by title: first fifth, or the rest, as paper's code"
    )
    limit: int | None = Field(
        None, ge=1, description="ask only the first so many questions; null: all"
    )
    methods: tuple[Literal["likelihood", "answers", "short-answers"], ...] = Field(
        ("likelihood",),
        description="likelihood: of the options; answers: five-shot thought processes (paper); "
        "short-answers: free texts, exact match and F1",
    )
    servers: dict[str, ServerConfig] = Field(
        {},
        description="model name: the endpoint that serves it (base_url, model, ...), instead of "
        "loading it here; names that are no arm are asked besides",
    )
    normalizer: Literal["sum", "per_token", "per_character", "per_byte"] = Field(
        "per_token", description="what divides an option's log-likelihood in the headline"
    )
    protocol: Literal["default", "paper", "paper-code"] = Field(
        "default", description="of answers; the fields below, where given, replace its own"
    )
    samples: int | None = Field(None, ge=1, description="texts per question; paper: 64")
    temperature: float | None = Field(None, ge=0, le=2, description="0: greedy; paper's code: 0.1")
    max_tokens: int | None = Field(None, ge=1, description="of one answer; paper's code: 300")
    parser: Literal["strict", "lenient", "paper", "paper-code"] | None = Field(
        None,
        description="strict: the last line is 'Answer: B.'; lenient: the last answer that is "
        "clearly stated, with markup or in a sentence; the others as theirs",
    )
    vote: Literal["first-valid", "random-valid", "majority"] | None = Field(
        None, description="which of a question's valid answers counts"
    )
    unparsed: Literal["wrong", "excluded"] | None = Field(
        None, description="what a question without a valid answer is"
    )
    shuffle_options: bool | None = Field(
        None, description="show the options in an order of each question's own"
    )
    seed: int = 0
    batch_tokens: int = Field(2048, ge=128, description="tokens of one scoring batch")


class OpenBookConfig(RetrievalConfig):
    """The same questions with retrieved texts before them; every combination is asked."""

    preset: Literal["paper"] | None = Field(
        None, description="paper: its grid of chunks, k, order and temperature, by answers"
    )
    chunk_characters: tuple[PositiveInt, ...] = Field(
        (), description="sizes of chunks; empty: no open book; paper: 256, 512, 1024"
    )
    shown: tuple[PositiveInt, ...] = Field(
        (8,), description="how many chunks are shown; paper: 1, 2, 4, 8, 16"
    )
    orders: tuple[Literal["best_first", "best_last"], ...] = Field(("best_last",))
    temperatures: tuple[NonNegativeFloat, ...] = Field(
        (), description="of answers; empty: that of evaluate; paper: 0.1, 0.3, 0.5, 0.7"
    )
    method: Literal["likelihood", "answers"] = Field(
        "likelihood", description="how the questions are asked; paper: answers"
    )
    models: tuple[str, ...] = Field((), description="which ones are asked; empty: all")
    choose_on_validation: bool = Field(
        False, description="ask the grid of the validation split, and its best of the test split"
    )
    oracle: bool = Field(True, description="a row with the whole document shown")


class SummariesConfig(Section):
    """Summaries of each document from memory, their claims judged beside those of people."""

    references: Path | None = Field(
        None, description='JSONL {"id", "summaries": [...]}, written by people; null: no study'
    )
    judge: ServerConfig | None = Field(
        None, description="who splits and judges claims (base_url, model, endpoint: chat)"
    )
    kinds: tuple[Literal["short", "long"], ...] = Field(("short", "long"))
    models: tuple[str, ...] = Field((), description="which ones are asked; empty: all")
    temperature: float = Field(0.0, ge=0, le=2, description="of the summaries")
    max_tokens: int | None = Field(
        None, ge=16, description="of one summary; null: 768 of a short one, 3072 of a long one"
    )
    claims_per_call: int = Field(20, ge=1, description="claims that the judge sees at once")


class ForgettingConfig(Section):
    """What a model could do before: general text, and tasks of lm-evaluation-harness."""

    texts: Path | Literal["builtin"] | None = Field(
        None, description="general text (.txt, .md, .jsonl) whose loss is compared; null: none"
    )
    context_tokens: int = Field(1024, ge=16, description="of a window of general text")
    tasks: tuple[str, ...] = Field((), description="of lm-evaluation-harness, e.g. arc_easy")
    task_limit: int | None = Field(None, ge=1, description="questions a task; null: all")
    task_folder: Path | None = Field(None, description="with tasks of one's own, as YAML")


# The paper's open book (appendix F) and the grid that its code tunes on the validation split. Its
# embedder (text-embedding-3-large) and reranker (rerank-english-v3.0) are services: name them in
# embedder_server and reranker_server, or others.
PAPER_OPEN_BOOK: dict[str, Any] = {
    "chunk_characters": [256, 512, 1024],
    "shown": [1, 2, 4, 8, 16],
    "orders": ["best_first", "best_last"],
    "temperatures": [0.1, 0.3, 0.5, 0.7],
    "method": "answers",
    "choose_on_validation": True,
    "search": "embeddings",
    "found": 128,
    "reranked": 128,
}
