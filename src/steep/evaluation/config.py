"""Settings of the evaluation: questions, open book, summaries, forgetting."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt

from steep.core.config import Section, operational
from steep.ledger.config import ServerConfig
from steep.llm.local.devices import PrecisionSetting
from steep.retrieval.config import RetrievalConfig
from steep.training.config import BASE as BASE


class EvaluateConfig(Section):
    """Closed-book questions: methods, models, and the reading of answers."""

    questions: Path | None = Field(
        None, description="JSONL, or QuALITY's own format; null: no evaluation"
    )
    split: Literal["all", "validation", "test"] = Field(
        "all",
        description="documents, sorted by title: validation is the first fifth, test the others "
        "(paper's code)",
    )
    limit: int | None = Field(None, ge=1, description="maximum number of questions; null: all")
    methods: tuple[Literal["likelihood", "answers", "short-answers"] | str, ...] = Field(
        ("likelihood",),
        description="likelihood: of the options; answers: five-shot thought processes (paper); "
        "short-answers: free texts, exact match and F1",
    )
    servers: dict[str, ServerConfig] = Field(
        {},
        description="model name: the endpoint that serves it (base_url, model, ...); an arm of "
        "this name is not loaded, another name adds a model",
    )
    short_answer_judge: ServerConfig | None = Field(
        None,
        description="the model that grades short answers as correct, incorrect or not attempted "
        "(base_url, model, endpoint: chat); null: not judged",
    )
    comparisons: tuple[tuple[str, str], ...] | None = Field(
        None,
        description="planned comparisons, e.g. [[synthetic, base], [synthetic, raw]], decided "
        "before the results are known: only these are corrected for one another (Holm), all others "
        "are exploratory; null: each model against the base, synthetic against raw",
    )
    normalizer: Literal["sum", "per_token", "per_character", "per_byte"] = Field(
        "per_token", description="divisor of an option's log-likelihood in the headline"
    )
    protocol: Literal["default", "paper", "paper-code"] = Field(
        "default",
        description="preset of the fields below, up to shuffle_options, which override it",
    )
    samples: int | None = Field(None, ge=1, description="texts per question; paper: 64")
    temperature: float | None = Field(None, ge=0, le=2, description="0: greedy; paper's code: 0.1")
    max_tokens: int | None = Field(
        None, ge=1, description="maximum tokens of one answer; paper's code: 300"
    )
    parser: Literal["strict", "lenient", "paper", "paper-code"] | None = Field(
        None,
        description="strict: the last line is 'Answer: B.'; lenient: the last clearly stated "
        "answer, also with markup or in a sentence; paper, paper-code: as published",
    )
    vote: Literal["first-valid", "random-valid", "majority"] | None = Field(
        None, description="the valid answer of a question that counts"
    )
    unparsed: Literal["wrong", "excluded"] | None = Field(
        None, description="how a question without a valid answer counts"
    )
    shuffle_options: bool | None = Field(
        None, description="show the options in a random order per question"
    )
    seed: int = Field(0, description="of sampled texts")
    precision: PrecisionSetting = Field(
        "auto",
        description="of models in this process. tf32: float32 weights, TF32 products; bfloat16: "
        "half of the memory, and a few other choices per hundred; auto: tf32 on a GPU, float32 on "
        "a CPU (LOG.md)",
    )
    batch_tokens: int = operational(2048, ge=128, description="tokens per scoring batch")


class OpenBookConfig(RetrievalConfig):
    """The same questions after retrieved texts; every combination of the lists is asked."""

    preset: Literal["paper"] | None = Field(
        None, description="paper: its grid of chunks, k, order and temperature, by written answers"
    )
    chunk_characters: tuple[PositiveInt, ...] = Field(
        (), description="chunk sizes in characters; empty: no open book; paper: 256, 512, 1024"
    )
    shown: tuple[PositiveInt, ...] = Field(
        (8,), description="numbers of chunks that are shown; paper: 1, 2, 4, 8, 16"
    )
    orders: tuple[Literal["best_first", "best_last"], ...] = Field(
        ("best_last",), description="orders of the shown chunks"
    )
    temperatures: tuple[NonNegativeFloat, ...] = Field(
        (), description="of written answers; empty: that of evaluate; paper: 0.1, 0.3, 0.5, 0.7"
    )
    method: Literal["likelihood", "answers"] = Field(
        "likelihood", description="method of the open book; paper: answers"
    )
    models: tuple[str, ...] = Field((), description="names of models that are asked; empty: all")
    choose_on_validation: bool = Field(
        False,
        description="ask the grid on the validation split, and its best variant on the test split",
    )
    oracle: bool = Field(True, description="also show the whole document, as an upper bound")


class SummariesConfig(Section):
    """Summaries of each document from memory, judged claim by claim against human ones."""

    references: Path | None = Field(
        None, description='JSONL {"id", "summaries": [...]} with human summaries; null: no study'
    )
    judge: ServerConfig | None = Field(
        None,
        description="the model that splits and judges claims (base_url, model, endpoint: chat)",
    )
    kinds: tuple[Literal["short", "long"], ...] = Field(
        ("short", "long"), description="kinds of summaries that models write"
    )
    models: tuple[str, ...] = Field((), description="names of models that are asked; empty: all")
    temperature: float = Field(0.0, ge=0, le=2, description="of the summaries")
    max_tokens: int | None = Field(
        None, ge=16, description="maximum tokens of one summary; null: 768 for short, 3072 for long"
    )
    claims_per_call: int = Field(20, ge=1, description="maximum claims per call of the judge")


class FaithfulnessConfig(Section):
    """The claims of a sample of synthetic texts, judged against their source documents."""

    judge: ServerConfig | None = Field(
        None,
        description="the model that splits and judges claims (base_url, model, endpoint: chat); "
        "null: not judged",
    )
    max_texts: int = Field(100, ge=1, description="maximum number of judged texts")
    max_cost_usd: float | None = Field(
        None,
        gt=0,
        description="maximum dollars for this in the project, within generate.max_cost_usd; "
        "null: only that limit",
    )
    claims_per_call: int = Field(20, ge=1, description="maximum claims per call of the judge")
    seed: int = Field(0, description="of the sample of texts")


class ContaminationConfig(Section):
    """Evaluation questions in the synthetic texts, and in the prompts that made them."""

    check: bool = Field(
        True, description="search texts and prompts for 8 and 13 equal words of a question"
    )
    similarity: float | None = Field(
        None,
        gt=0,
        le=1,
        description="cosine from which a question in the texts is a paraphrase of an evaluation "
        "question, by the embedder of open_book (wordllama: 0.9, see LOG.md); null: not compared",
    )
    max_sentences: int = Field(
        50_000, ge=1, description="maximum distinct questions in the texts that are embedded"
    )
    recipes_with_questions: tuple[str, ...] = operational(
        (), description="recipes whose prompts have evaluation questions on purpose"
    )


class ForgettingConfig(Section):
    """Forgetting: the loss on general text, and tasks of lm-evaluation-harness."""

    texts: Path | Literal["builtin"] | None = Field(
        None, description="general text (.txt, .md, .jsonl) to measure the loss on; null: none"
    )
    context_tokens: int = Field(1024, ge=16, description="tokens per window of general text")
    tasks: tuple[str, ...] = Field((), description="tasks of lm-evaluation-harness, e.g. arc_easy")
    task_limit: int | None = Field(None, ge=1, description="questions per task; null: all")
    task_folder: Path | None = Field(None, description="folder with your own tasks, as YAML")


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
