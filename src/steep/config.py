"""The one configuration tree: a `steep.yaml`, frozen and typed; an unknown key is an error.

Every field says what it is and in which unit; `steep init` prints the same tree with comments.
Which fields belong to the identity of an artifact is decided in `steep.stages`, stage by stage.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
)

EMBEDDED_MODEL = "SmolLM2-135M-Instruct"
ENVIRONMENT_NAME = r"^[A-Z_][A-Z0-9_]*$"  # upper case, so that hardly a key passes for a name

OptimizerName = Literal[
    "adamw", "adamw-bf16-remainder", "adamw-8bit-remainder", "adamw-8bit-stochastic"
]


class Section(BaseModel):
    """Base of all sections: immutable, and strict about keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DocumentsConfig(Section):
    """Where the documents are, and how long ones are split."""

    path: Path = Field(description="a file or folder: .txt .md .jsonl, or QuALITY's own format")
    split_words: int | None = Field(
        None, ge=50, description="split longer documents at paragraphs into parts of so many words"
    )


class CallConfig(Section):
    """How an endpoint is called, and what it costs."""

    api_key_env: str | None = Field(
        None,
        pattern=ENVIRONMENT_NAME,
        description="name of the environment variable that holds the key, never the key",
    )
    concurrency: int = Field(
        16,
        ge=1,
        description="requests in flight at most; fewer while it is overloaded",
    )
    requests_per_minute: float | None = Field(None, gt=0, description="an endpoint; null: no limit")
    tokens_per_minute: float | None = Field(
        None, ge=1000, description="an endpoint, prompts and answers; null: no limit"
    )
    timeout_s: float = Field(300, gt=0, description="of one attempt, seconds")
    max_attempts: int = Field(
        6, ge=1, description="tries of a request; a request to wait is no try"
    )
    retry_minutes: float = Field(15, gt=0, description="after which a request counts as failed")
    usd_per_million_input_tokens: float | None = Field(
        None, ge=0, description="null: the list price, if known; an unknown price is not zero"
    )
    usd_per_million_cached_tokens: float | None = Field(
        None, ge=0, description="of prompt tokens that the endpoint had cached"
    )
    usd_per_million_output_tokens: float | None = Field(None, ge=0)


class EndpointConfig(CallConfig):
    """An endpoint, and the model that is wanted of it."""

    base_url: str = Field(description="of an OpenAI-compatible server, up to and with /v1")
    model: str = Field(description="the name that the server knows it by")


class ServerConfig(EndpointConfig):
    """An endpoint that serves a model to be asked."""

    endpoint: Literal["completions", "chat"] = Field(
        "completions", description="completions continues a prompt as it is; chat: one message"
    )


class GenerateConfig(CallConfig):
    """Which recipe is written, by which generator, and what it may cost."""

    recipe: Literal["entigraph"] | None = Field(
        "entigraph", description="null generates nothing (imported texts only)"
    )
    documents: tuple[str, ...] = Field(
        (), description="IDs of the documents to write about; empty: all"
    )
    engine: Literal["openai", "openai-batch", "embedded", "transformers", "vllm", "ray"] = Field(
        "openai",
        description="openai: any compatible endpoint; openai-batch: its batch API, half price; "
        "embedded, transformers, vllm: a model in this process; ray: such models on a cluster",
    )
    base_url: str | tuple[str, ...] = Field(
        "http://localhost:8000/v1",
        description="of the endpoint; of several, a document stays with one",
    )
    model: str = Field(
        EMBEDDED_MODEL, description="the name that the endpoint knows; in process: a directory"
    )
    salvage_rounds: int = Field(2, ge=0, description="further rounds for calls that failed")
    context_tokens: int | None = Field(
        None,
        ge=256,
        description="of the generator; longer documents are refused; null: as the endpoint says, "
        "and a warning",
    )
    batch_price_factor: float = Field(0.5, gt=0, le=1, description="of the batch API; OpenAI: 0.5")
    batch_poll_s: float = Field(60, gt=0, description="between two looks at submitted batches")
    max_cost_usd: float | None = Field(
        None, gt=0, description="hard limit for all calls of the project, shared over documents"
    )
    max_total_tokens: int | None = Field(
        None, ge=1, description="hard limit for all calls of the project, prompts and answers"
    )
    target_tokens: int | None = Field(
        None, ge=1, description="stop at so many tokens of text, shared over documents by length"
    )
    prompt: Literal["full", "compact"] = Field(
        "full", description="full: the paper's demands; compact: short, for generators under 1B"
    )
    prompt_order: Literal["document_first", "paper"] = Field(
        "document_first",
        description="paper: the demand before the document, so that stages share no cached prefix",
    )
    temperature: float = Field(1.0, ge=0, le=2, description="paper: 1.0")
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: int = Field(2048, ge=16, description="of one completion")
    reasoning_tokens: int = Field(
        0, ge=0, description="more of them for models that think before they answer"
    )
    frequency_penalty: float = Field(
        0.0, ge=0, le=2, description="against loops; generators under 1B need some 0.3"
    )
    entity_attempts: int = Field(3, ge=1, description="tries to get a valid entity list")
    min_entities: int = Field(2, ge=2, description="fewer valid entities ask for another try")
    max_entities: int | None = Field(None, ge=2, description="keep the first so many")
    pairs: NonNegativeInt | Literal["all"] = Field("all", description="a document; paper: all")
    triplets: NonNegativeInt | Literal["all"] = Field(
        0, description="triplets a document; the paper's code has no cap, so choose one"
    )
    seed: int = 0
    ray_address: str | None = Field(
        None, description="of a Ray cluster, or auto; null: one of its own on this machine"
    )
    ray_engine: Literal["embedded", "transformers", "vllm"] = Field(
        "transformers", description="what each actor of the cluster runs"
    )
    ray_actors: int = Field(1, ge=1, description="engines in the cluster")
    ray_cpus_per_actor: float = Field(1, ge=0)
    ray_gpus_per_actor: float = Field(0, ge=0)


class CorpusConfig(Section):
    """Which completions become passages."""

    truncated: Literal["drop", "trim"] = Field(
        "drop", description="cut-off texts: rejected, or trimmed to their last whole sentence"
    )
    min_words: int = Field(8, ge=1, description="shorter texts are rejected as degenerate")
    max_repetition: float = Field(
        0.3, gt=0, le=1, description="share of repeated 6-word runs above which a text is a loop"
    )
    max_invented: float = Field(
        1.0, ge=0, le=1, description="largest share of names and numbers strange to the source"
    )
    check_language: bool = Field(True, description="reject texts in a language not the source's")


class TokenizeConfig(Section):
    """How passages become token shards."""

    replay: Path | Literal["builtin"] = Field(
        "builtin", description="general text (.txt, .md or .jsonl with `text`) mixed into training"
    )
    instructions: Path | None = Field(
        None, description="chats (JSONL with `messages`) mixed in at train.instruction_rate"
    )
    holdout: float = Field(
        0.01, ge=0, lt=0.5, description="share of texts kept out of training, whose loss is watched"
    )


class OptimizationConfig(Section):
    """How a model is trained, on whatever text."""

    context_tokens: int = Field(2048, ge=16, description="paper: 2048")
    batch_sequences: int = Field(16, ge=1, description="sequences an optimizer step; paper: 16")
    micro_batch_sequences: int = Field(
        1, ge=1, description="sequences a forward pass, on one device; no change of results"
    )
    learning_rate: float = Field(5e-6, gt=0, description="peak; paper: 5e-6")
    warmup: float = Field(0.05, ge=0, lt=1, description="share of the steps; paper: 0.05")
    weight_decay: float = Field(0.01, ge=0, description="paper's code: 0.01")
    beta1: float = Field(0.9, ge=0, lt=1, description="of AdamW; paper's code: its default")
    beta2: float = Field(0.999, ge=0, lt=1, description="of AdamW; paper's code: its default")
    epsilon: float = Field(1e-8, gt=0, description="of AdamW; paper's code: its default")
    gradient_clip: float = Field(1.0, gt=0, description="largest gradient norm")
    optimizer: OptimizerName = Field(
        "adamw",
        description="adamw: fp32 weights, 16 B a parameter; adamw-bf16-remainder: the same numbers "
        "in 14 B; adamw-8bit-remainder: 8 B; adamw-8bit-stochastic: 6 B",
    )
    compute: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="precision of products; auto: bfloat16 on a GPU"
    )
    isolate_documents: bool = Field(
        False, description="keep texts of one row apart; paper: no, and slower on a GPU"
    )
    lora_rank: int | None = Field(
        None, ge=1, description="train adapters of this rank, merged at the end; null: all weights"
    )
    lora_alpha: float = Field(32, gt=0)
    seed: int = 0
    compile: Literal["auto", "none", "layers"] = Field(
        "auto", description="auto: compiled decoder layers on a GPU"
    )
    recompute_every: int = Field(
        0, ge=0, description="recompute activations of every n-th layer, to save memory; 0: none"
    )
    max_loss_jump: float | None = Field(
        None, gt=0, description="stop when the loss is so many nats above the last 20 steps' mean"
    )
    validation_every: int = Field(
        0, ge=0, description="steps between losses on texts kept out; 0: only first and last"
    )
    checkpoint_minutes: float = Field(2.0, gt=0, description="at most this much work is ever lost")
    keep_checkpoints: int = Field(1, ge=1, description="of one run, while it trains")
    trackers: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = Field(
        (), description="where numbers go beside metrics.jsonl; wandb uploads"
    )


class TrainConfig(OptimizationConfig):
    """Continued pretraining; what the paper fixes (appendix D) is the default."""

    preset: Literal["paper", "tiny", "8b-one-gpu"] | None = Field(
        None, description="defaults for the fields that are not given here"
    )
    model: str = Field("embedded", description="'embedded', or a Hugging Face directory or name")
    arms: dict[str, tuple[str, ...]] = Field(
        {"raw": ("documents",), "entigraph": ("entigraph",)},
        description="model name: what it reads; 'documents' is the raw text, others are recipes",
    )
    tokens: int | None = Field(
        1_048_576,  # 32 optimizer steps at the sizes below
        ge=1,
        description="training tokens of each arm, replay included",
    )
    epochs: float | None = Field(
        None, gt=0, description="passes over what an arm reads, instead of tokens; paper: 2"
    )
    replay_rate: float = Field(0.1, ge=0, lt=1, description="share of blocks; paper: 0.1")
    replay_mode: Literal["add", "replace"] = Field(
        "add", description="replace: a replay block takes the place of another, as the paper's code"
    )
    instruction_rate: float = Field(
        0.0, ge=0, lt=1, description="share of blocks from tokenize.instructions"
    )
    add_difference: str | None = Field(
        None,
        description="an instruct model; what it differs by from train.model is added at the end",
    )
    launcher: Literal["here", "ray"] = Field(
        "here", description="here: this process, or the ranks that torchrun or srun started"
    )
    ray_workers: int = Field(1, ge=1, description="ranks, with launcher: ray; one a GPU")
    gpu_hour_usd: float | None = Field(
        None, ge=0, description="dollars per hour of one GPU, for steep plan; null: none are shown"
    )
    ray_address: str | None = Field(
        None, description="of a Ray cluster, or auto; null: one of its own on this machine"
    )


class InstructConfig(OptimizationConfig):
    """Instruction tuning of trained arms, on chats; what the paper fixes is the default."""

    chats: Path | None = Field(None, description="JSONL with `messages`; null: no tuning")
    arms: tuple[str, ...] = Field((), description="which arms are tuned; empty: all")
    loss_on: Literal["all", "assistant"] = Field(
        "all", description="which tokens are learned; paper's code: all"
    )
    epochs: float = Field(1.0, gt=0, description="paper: 1 (the authors' README: 2)")
    batch_sequences: int = Field(512, ge=1, description="paper: 512 (the authors' README: 128)")


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


class OpenBookConfig(Section):
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
    search: Literal["bm25", "embeddings", "fused"] = Field(
        "bm25",
        description="by words (found most on unseen passages), by vectors (paper), or both with "
        "their ranks fused",
    )
    found: int = Field(128, ge=1, description="chunks that the search returns; paper: 128")
    reranked: int = Field(128, ge=1, description="of these, how many a reranker scores")
    embedder: Literal["wordllama", "endpoint", "sentence-transformers"] = Field(
        "wordllama", description="wordllama: static vectors, no network; the others need a model"
    )
    embedder_model: str = Field("", description="directory of a sentence-transformers model")
    embedder_server: EndpointConfig | None = Field(
        None, description="the endpoint of embedder: endpoint (base_url, model, ...)"
    )
    question_prefix: str = Field("", description="before each question that is embedded")
    chunk_prefix: str = Field("", description="before each chunk that is embedded")
    reranker: Literal["none", "likelihood", "cross-encoder", "endpoint"] = Field(
        "none", description="likelihood: the reading model's own, of the question after a chunk"
    )
    reranker_model: str = Field("", description="directory of a cross-encoder")
    reranker_server: EndpointConfig | None = Field(
        None, description="the endpoint of reranker: endpoint (base_url, model, ...)"
    )


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


class Config(Section):
    """The whole of a `steep.yaml`."""

    name: str = Field("default", pattern=r"^[\w.-]+$", description="of the run: runs/<name>/")
    remark: str | None = Field(None, description="shown at the top of the report")
    documents: DocumentsConfig
    generate: GenerateConfig = GenerateConfig()
    corpus: CorpusConfig = CorpusConfig()
    tokenize: TokenizeConfig = TokenizeConfig()
    train: TrainConfig = TrainConfig()
    instruct: InstructConfig = InstructConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    open_book: OpenBookConfig = OpenBookConfig()
    summaries: SummariesConfig = SummariesConfig()
    forgetting: ForgettingConfig = ForgettingConfig()
