"""Settings of the generation of synthetic texts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, ValidationError

from steep.core.config import Section, operational
from steep.ledger.config import CallConfig
from steep.recipes.entigraph import EntiGraphOptions
from steep.recipes.recipe import RecipeOptions
from steep.recipes.registry import kind_of

EMBEDDED_MODEL = "SmolLM2-135M-Instruct"


def _options(value: Any) -> Any:
    """Read the options of each recipe by the model that the recipe brings along."""
    if not isinstance(value, dict):
        return value
    found: dict[str, RecipeOptions] = {}
    for name, options in value.items():
        kind = kind_of(str(name), options)
        if isinstance(options, RecipeOptions):
            found[name] = options
            continue
        try:
            found[name] = kind.options.model_validate({} if options is None else options)
        except ValidationError as error:
            lines: list[Any] = [{**each, "loc": (name, *each["loc"])} for each in error.errors()]
            raise ValidationError.from_exception_data("recipes", lines) from None
    return found


class StopWhen(Section):
    """When a recipe ends because its answers bring nothing new; see docs/diversity.md."""

    new_information: float = Field(
        gt=0,
        lt=1,
        description="least new 4-grams per word of a window of answers, as a share of the first "
        "window's",
    )
    calls: int = Field(1000, ge=2, description="answers per window")


Recipes = Annotated[dict[str, SerializeAsAny[RecipeOptions]], BeforeValidator(_options)]


class GenerateConfig(CallConfig):
    """Which recipes are written, by which generator, and what they may cost."""

    recipes: Recipes = Field(
        {"entigraph": EntiGraphOptions()},
        description="by name: built-in ones (docs/recipes.md lists them), those of installed "
        "packages, or your own with a template; {}: none (imported texts only)",
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
        description="of the generator; longer documents are refused; null: as the endpoint "
        "reports, and a warning",
    )
    batch_price_factor: float = operational(
        0.5, gt=0, le=1, description="of the batch API; OpenAI: 0.5"
    )
    batch_poll_s: float = operational(
        60, gt=0, description="seconds between polls of submitted batches"
    )
    max_cost_usd: float | None = operational(
        None,
        gt=0,
        description="hard limit for all calls of the project; documents take turns until then",
    )
    max_total_tokens: int | None = operational(
        None, ge=1, description="hard limit for all calls of the project, prompts and answers"
    )
    target_tokens: int | None = Field(
        None, ge=1, description="stop each recipe at so many tokens of text; documents take turns"
    )
    stop_when: StopWhen | None = Field(
        None,
        description="{new_information: 0.1, calls: 1000}: end a recipe when 1,000 answers in a row "
        "have less than a tenth of the new 4-grams per word of its first 1,000; null: never",
    )
    temperature: float = Field(1.0, ge=0, le=2, description="paper: 1.0")
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: int = Field(2048, ge=16, description="of one completion")
    reasoning_tokens: int = Field(
        0, ge=0, description="more of them for models that think before they answer"
    )
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high"] | None = Field(
        None,
        description="how much such models think; an endpoint that refuses it is asked without it; "
        "null: the endpoint's default, and no thinking of a model in this process",
    )
    frequency_penalty: float = Field(
        0.0, ge=0, le=2, description="against loops; generators under 1B need some 0.3"
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
