"""Settings of the generation of synthetic texts."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt

from steep.core.config import operational
from steep.ledger.config import CallConfig

EMBEDDED_MODEL = "SmolLM2-135M-Instruct"


class GenerateConfig(CallConfig):
    """Which recipe is written, by which generator, and what it may cost."""

    recipe: Literal["entigraph"] | None = Field(
        "entigraph", description="null generates nothing (imported texts only)"
    )
    documents: tuple[str, ...] = Field(
        (), description="IDs of the documents to write about; empty: all"
    )
    engine: Literal["openai", "openai-batch", "embedded", "transformers", "vllm", "ray"] = (
        operational(
            "openai",
            description="openai: any compatible endpoint; openai-batch: its batch API, half price; "
            "embedded, transformers, vllm: a model in this process; ray: such models on a cluster",
        )
    )
    base_url: str | tuple[str, ...] = operational(
        "http://localhost:8000/v1",
        description="of the endpoint; of several, a document stays with one",
    )
    model: str = Field(
        EMBEDDED_MODEL, description="the name that the endpoint knows; in process: a directory"
    )
    salvage_rounds: int = operational(2, ge=0, description="further rounds for calls that failed")
    context_tokens: int | None = operational(
        None,
        ge=256,
        description="of the generator; longer documents are refused; null: as the endpoint says, "
        "and a warning",
    )
    batch_price_factor: float = operational(
        0.5, gt=0, le=1, description="of the batch API; OpenAI: 0.5"
    )
    batch_poll_s: float = operational(
        60, gt=0, description="between two looks at submitted batches"
    )
    max_cost_usd: float | None = Field(
        None, gt=0, description="hard limit for all calls of the project, shared over documents"
    )
    max_total_tokens: int | None = operational(
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
    ray_address: str | None = operational(
        None, description="of a Ray cluster, or auto; null: one of its own on this machine"
    )
    ray_engine: Literal["embedded", "transformers", "vllm"] = operational(
        "transformers", description="what each actor of the cluster runs"
    )
    ray_actors: int = operational(1, ge=1, description="engines in the cluster")
    ray_cpus_per_actor: float = operational(1, ge=0)
    ray_gpus_per_actor: float = operational(0, ge=0)
