"""Settings of continued pretraining and of instruction tuning."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from steep.core.config import Section, identity_fields, operational

OptimizerName = Literal["adamw", "adamw-8bit-stochastic"]


class OptimizationConfig(Section):
    """How a model is trained, on any text; the training loop takes it as it is."""

    section: ClassVar[str] = "train"  # the key of the YAML file that errors and log lines name

    context_tokens: int = Field(2048, ge=16, description="paper: 2048")
    batch_sequences: int = Field(16, ge=1, description="sequences an optimizer step; paper: 16")
    micro_batch_sequences: int = operational(
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
        description="adamw: fp32 weights and moments, 16 bytes per parameter; "
        "adamw-8bit-stochastic: bf16 weights, stochastic rounding, 8-bit moments, 6 bytes",
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
    compile: Literal["auto", "none", "layers"] = operational(
        "auto", description="auto: compiled decoder layers on a GPU"
    )
    recompute_every: int = operational(
        0, ge=0, description="recompute activations of every n-th layer, to save memory; 0: none"
    )
    max_loss_jump: float | None = operational(
        None, gt=0, description="stop when the loss is so many nats above the last 20 steps' mean"
    )
    validation_every: int = operational(
        0, ge=0, description="steps between losses on texts kept out; 0: only first and last"
    )
    checkpoint_minutes: float = operational(
        2.0, gt=0, description="at most this much work is ever lost"
    )
    keep_checkpoints: int = operational(1, ge=1, description="of one run, while it trains")
    trackers: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = operational(
        (), description="where numbers go beside metrics.jsonl; wandb uploads"
    )

    def identity(self) -> dict[str, Any]:
        """Return what must be equal for a checkpoint to be continued, by dotted names."""
        found = identity_fields(self.section, self)
        names = (f"{self.section}.{name}" for name in OptimizationConfig.model_fields)
        return {name: found[name] for name in names if name in found}


class TrainConfig(OptimizationConfig):
    """Continued pretraining; what the paper fixes (appendix D) is the default."""

    preset: Literal["paper", "tiny", "8b-one-gpu"] | None = operational(
        None, description="defaults for the fields that are not given here"
    )
    model: str = Field("embedded", description="'embedded', or a Hugging Face directory or name")
    arms: dict[str, tuple[str, ...]] = operational(
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
    launcher: Literal["here", "ray"] = operational(
        "here", description="here: this process, or the ranks that torchrun or srun started"
    )
    ray_workers: int = operational(1, ge=1, description="ranks, with launcher: ray; one a GPU")
    gpu_hour_usd: float | None = operational(
        None, ge=0, description="dollars per hour of one GPU, for steep plan; null: none are shown"
    )
    ray_address: str | None = operational(
        None, description="of a Ray cluster, or auto; null: one of its own on this machine"
    )


class InstructConfig(OptimizationConfig):
    """Instruction tuning of trained arms, on chats; what the paper fixes is the default."""

    section: ClassVar[str] = "instruct"

    chats: Path | None = Field(None, description="JSONL with `messages`; null: no tuning")
    arms: tuple[str, ...] = operational((), description="which arms are tuned; empty: all")
    loss_on: Literal["all", "assistant"] = Field(
        "all", description="which tokens are learned; paper's code: all"
    )
    epochs: float = Field(1.0, gt=0, description="paper: 1 (the authors' README: 2)")
    batch_sequences: int = Field(512, ge=1, description="paper: 512 (the authors' README: 128)")
