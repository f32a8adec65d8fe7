"""Settings of continued pretraining and of instruction tuning."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter

from steep.core.arms import names_by_seed, recipes_read
from steep.core.config import Section, identity_fields, operational

BASE = "base"  # name of the untrained model in results
OptimizerName = Literal["adamw", "adamw-8bit-stochastic"]
TrackerName = Literal["tensorboard", "wandb", "trackio"]

_LIST = TypeAdapter(tuple[str, ...])
_SHARES = TypeAdapter(
    Annotated[dict[str, Annotated[float, Field(gt=0)]], Field(min_length=1)],
    config=ConfigDict(allow_inf_nan=False),
)


def _one_form(value: Any) -> Any:
    """Check the one form that is meant, so that an error is not about both."""
    return (_SHARES if isinstance(value, dict) else _LIST).validate_python(value)


Arm = Annotated[tuple[str, ...] | dict[str, float], BeforeValidator(_one_form)]


class OptimizationConfig(Section):
    """Settings of the training loop, which takes them as they are."""

    section: ClassVar[str] = "train"  # the key of the YAML file that errors and log lines name

    context_tokens: int = Field(2048, ge=16, description="tokens per sequence; paper: 2048")
    batch_sequences: int = Field(16, ge=1, description="sequences per optimizer step; paper: 16")
    micro_batch_sequences: int = operational(
        1, ge=1, description="sequences per forward pass and device; changes results by rounding"
    )
    learning_rate: float = Field(5e-6, gt=0, description="peak learning rate; paper: 5e-6")
    warmup: float = Field(
        0.05, ge=0, lt=1, description="share of steps with a rising rate; paper: 0.05"
    )
    weight_decay: float = Field(
        0.01, ge=0, description="decoupled, of matrices; paper's code: 0.01"
    )
    beta1: float = Field(0.9, ge=0, lt=1, description="AdamW, first moment; paper's code: 0.9")
    beta2: float = Field(0.999, ge=0, lt=1, description="AdamW, second moment; paper's code: 0.999")
    epsilon: float = Field(1e-8, gt=0, description="AdamW; paper's code: 1e-8")
    gradient_clip: float = Field(1.0, gt=0, description="maximum gradient norm")
    optimizer: OptimizerName = Field(
        "adamw",
        description="adamw: fp32 weights and moments, 16 bytes per parameter; "
        "adamw-8bit-stochastic: bf16 weights, stochastic rounding, 8-bit moments, 6 bytes",
    )
    compute: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="precision of matrix products; auto: bfloat16 on a GPU"
    )
    isolate_documents: bool = Field(False, description="no attention across texts; paper: false")
    lora_rank: int | None = Field(
        None, ge=1, description="LoRA adapters, merged at the end; null: train all weights"
    )
    lora_alpha: float = Field(32, gt=0, description="adapters are scaled by alpha / rank")
    seed: int = Field(0, description="order of texts, dropout, stochastic rounding")
    compile: Literal["auto", "none", "layers"] = operational(
        "auto", description="torch.compile of decoder layers; auto: on a GPU"
    )
    recompute_every: int = operational(
        0, ge=0, description="recompute activations of every n-th layer to save memory; 0: never"
    )
    max_loss_jump: float | None = operational(
        None, gt=0, description="stop if the loss exceeds the mean of 20 steps by so many nats"
    )
    validation_every: int = operational(
        0,
        ge=0,
        description="steps between validations; 0: before the first and after the last step",
    )
    checkpoint_minutes: float = operational(
        2.0,
        gt=0,
        description="minutes between checkpoints; on a GPU at least 20 times what one takes",
    )
    keep_checkpoints: int = operational(
        1,
        ge=0,
        description="newest checkpoints that are kept during training; 0: no checkpoint, so an "
        "interrupted run is lost",
    )
    trackers: tuple[TrackerName, ...] = operational(
        (), description="loggers beside metrics.jsonl; wandb uploads"
    )

    def identity(self) -> dict[str, Any]:
        """Return what must be equal for a checkpoint to be continued, by dotted names."""
        return identity_fields(self.section, self, of=OptimizationConfig)


class SeededModel(NamedTuple):
    """One model of an arm."""

    arm: str
    seed: int


class TrainConfig(OptimizationConfig):
    """Settings of continued pretraining; defaults are those of the paper (appendix D)."""

    preset: Literal["paper", "tiny", "8b-one-gpu"] | None = operational(
        None, description="defaults of the fields that are not set here"
    )
    model: str = Field(
        "embedded", description="'embedded', a Hugging Face directory, or a name on the Hub"
    )
    arms: dict[str, Arm] = operational(
        {"raw": ("documents",), "entigraph": ("entigraph",)},
        description="name of the trained model: recipes it reads, as a list, or with their shares "
        "of tokens, as {entigraph: 0.7, rephrase/easy: 0.3}; 'documents' is raw text",
    )
    seeds: int = operational(
        1,
        ge=1,
        description="models per arm, from train.seed on; with one, the variance of training is "
        "unknown",
    )
    tokens: int | None = Field(
        1_048_576,  # 32 optimizer steps at the sizes below
        ge=1,
        description="training tokens per arm, replay included",
    )
    epochs: float | None = Field(
        None, gt=0, description="passes over the texts of an arm, instead of tokens; paper: 2"
    )
    replay_rate: float = Field(
        0.1, ge=0, lt=1, description="share of rows from tokenize.replay; paper: 0.1"
    )
    replay_mode: Literal["add", "replace"] = Field(
        "add", description="add: beside the texts; replace: instead of some, as the paper's code"
    )
    instruction_rate: float = Field(
        0.0, ge=0, lt=1, description="share of rows from tokenize.instructions"
    )
    add_task_vector: str | None = Field(
        None,
        description="an instruct model; its difference from train.model is added at the end",
    )
    launcher: Literal["here", "ray"] = operational(
        "here", description="here: this process, or the ranks of torchrun or srun"
    )
    ray_workers: int = operational(1, ge=1, description="workers with launcher: ray; one per GPU")
    gpu_hour_usd: float | None = operational(
        None, ge=0, description="dollars per hour of one GPU, for steep plan; null: unknown"
    )
    ray_address: str | None = operational(
        None, description="address of a Ray cluster, or auto; null: start one on this machine"
    )

    @property
    def reads(self) -> dict[str, tuple[str, ...]]:
        """The recipes that each arm reads, without their parts and shares."""
        return {arm: recipes_read(names) for arm, names in self.arms.items()}

    @property
    def models(self) -> dict[str, SeededModel]:
        """The models to train by name, one seed after the other."""
        names = {arm: names_by_seed(arm, self.seed, self.seeds) for arm in self.arms}
        return {
            name: SeededModel(arm, seed)
            for seed in range(self.seed, self.seed + self.seeds)
            for arm, own in names.items()
            for name, its_seed in own.items()
            if its_seed == seed
        }


class InstructConfig(OptimizationConfig):
    """Settings of instruction tuning; defaults are those of the paper."""

    section: ClassVar[str] = "instruct"

    chats: Path | None = Field(None, description="JSONL file with `messages`; null: no tuning")
    arms: tuple[str, ...] = operational((), description="arms to tune; empty: all")
    loss_on: Literal["all", "assistant"] = Field(
        "all", description="tokens that are learned; paper's code: all"
    )
    epochs: float = Field(
        1.0, gt=0, description="passes over the chats; paper: 1 (authors' README: 2)"
    )
    batch_sequences: int = Field(
        512, ge=1, description="sequences per optimizer step; paper: 512 (authors' README: 128)"
    )
