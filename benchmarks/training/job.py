"""What a contestant is asked to do, the shapes of the models, and their rows.

Weights are N(0, 0.02) and made on the device: speed does not depend on what a model knows, but
zeros would draw less power and raise the clocks. Rows are cut from real text (this package's own
files), tokenised by a byte-pair encoding trained on it, and come from `steep.tokens` for all
contestants, so that losses can be compared step by step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import steep
from steep.tokens.mixture import Mixture
from steep.tokens.order import Stream
from steep.tokens.shard import open_shard, write_shard

GIB = 2**30
TEXT_BYTES = 400_000  # a hundred thousand tokens, reshuffled every epoch
LARGEST_VOCABULARY = 8192  # of the tokenizer; a model may have more ids
BOS, EOS = "<|bos|>", "<|eos|>"


@dataclass(frozen=True)
class Shape:
    """A model's sizes, and the batch it is trained with.

    Attributes:
        config: Arguments of `LlamaConfig`.
        context_tokens: Length of a row.
        batch_sequences: Rows an optimizer step.
        micro_sequences: Rows at once, from the most to the fewest; the first that fits counts.
        learning_rate: Large enough for the loss to fall within a few steps.
    """

    config: dict[str, Any]
    context_tokens: int
    batch_sequences: int
    micro_sequences: tuple[int, ...]
    learning_rate: float


def _sizes(vocabulary: int, hidden: int, inner: int, layers: int, heads: int, keys: int) -> Any:
    return {
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": keys,
    }


LLAMA_3_8B = Shape(
    _sizes(128_256, 4096, 14_336, 32, 32, 8)
    | {"max_position_embeddings": 8192, "rope_theta": 500_000.0, "tie_word_embeddings": False},
    context_tokens=2048,
    batch_sequences=16,  # the paper's
    micro_sequences=(4, 2, 1),
    learning_rate=1e-4,
)
SMOLLM2_135M = Shape(
    _sizes(49_152, 576, 1536, 30, 9, 3)
    | {"max_position_embeddings": 8192, "rope_theta": 100_000.0, "tie_word_embeddings": True},
    context_tokens=2048,
    batch_sequences=16,
    micro_sequences=(16, 8, 4),
    learning_rate=5e-4,
)
# The same model with the batches of benchmarks/scaling: bound by launches of kernels.
SMOLLM2_SHORT = Shape(SMOLLM2_135M.config, 512, 4, (4,), SMOLLM2_135M.learning_rate)
TINY = Shape(
    _sizes(384, 64, 128, 2, 4, 2) | {"max_position_embeddings": 1024, "tie_word_embeddings": True},
    context_tokens=64,
    batch_sequences=4,
    micro_sequences=(2,),
    learning_rate=3e-3,
)
SHAPES = {
    "llama-3-8b": LLAMA_3_8B,
    "smollm2-135m": SMOLLM2_135M,
    "smollm2-135m-short": SMOLLM2_SHORT,
    "tiny": TINY,
}
# What `steep demo` trains with on a processor (the preset `tiny`).
ON_PROCESSOR = {
    "smollm2-135m": Shape(SMOLLM2_135M.config, 256, 2, (2,), SMOLLM2_135M.learning_rate)
}


@dataclass(frozen=True)
class Job:
    """One process's work. Directories are strings, for a job travels as JSON.

    Attributes:
        contestant: Its name.
        shape: Name of the model's shape.
        device: "cuda" or "cpu".
        micro_sequences: Rows at once.
        warmup: Steps that are not counted.
        steps: Steps that are.
        timed: Steps after these whose phases are timed.
        profiled: Steps after those that the profiler watches.
        shard: Where the tokens lie.
        out: Where the profiler's table goes.
        memory_gib: Of the GPU's memory, what may be taken: 78 is what an 80 GB card gives a
            process. 0: all.
    """

    contestant: str
    shape: str
    device: str
    micro_sequences: int
    warmup: int
    steps: int
    timed: int
    profiled: int
    shard: str
    out: str
    memory_gib: float = 0

    @property
    def sizes(self) -> Shape:
        """The shape, as it is trained on this device."""
        return shape_on(self.shape, self.device)

    @property
    def all_steps(self) -> int:
        """Optimizer steps of the process."""
        return self.warmup + self.steps + self.timed + self.profiled

    @property
    def step_tokens(self) -> int:
        """Tokens an optimizer step."""
        return self.sizes.batch_sequences * self.sizes.context_tokens


@dataclass
class Outcome:
    """What a process measured.

    Attributes:
        step_s: Seconds of each counted step.
        step_cpu_s: Processor seconds of each, over all threads, if it runs on a processor.
        startup_s: From a loaded model to the end of the warm-up: compilation, mostly.
        losses: Nats a token of all steps.
        peak_bytes: Highest reserved memory of the device, or resident memory of the process.
        phases_ms: Milliseconds a step by part; "whole" is the whole step.
        kernels: The costliest kernels of the profiled steps.
        attention: Kernels that have to do with attention.
        clocks: Median clocks, power and temperature of the counted steps, or why there are none.
        settings: What this contestant was run with.
        device: Name of the GPU; empty on a processor.
        failure: Why there is nothing to report.
        out_of_memory: Whether fewer rows at once might help.
    """

    step_s: list[float] = field(default_factory=list)
    step_cpu_s: list[float] = field(default_factory=list)
    startup_s: float = 0.0
    losses: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    phases_ms: dict[str, float] = field(default_factory=dict)
    kernels: str = ""
    attention: list[str] = field(default_factory=list)
    clocks: str = ""
    settings: str = ""
    device: str = ""
    failure: str = ""
    out_of_memory: bool = False


def shape_on(name: str, device: str) -> Shape:
    """The shape of this name; a processor gets smaller batches."""
    return ON_PROCESSOR.get(name, SHAPES[name]) if device == "cpu" else SHAPES[name]


def write_rows(directory: Path, shape: Shape) -> None:
    """Tokenise this package's own files; the same bytes for every contestant."""
    files = sorted(Path(steep.__file__).parent.rglob("*"))
    texts, left = [], TEXT_BYTES
    for file in files:
        if file.suffix in (".md", ".py") and left > 0 and (text := file.read_text()):
            texts.append(text)
            left -= len(text)
    write_shard(directory, texts, _tokenizer(texts, shape.config["vocab_size"]))


def _tokenizer(texts: list[str], vocabulary: int) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=min(vocabulary, LARGEST_VOCABULARY),
        special_tokens=[BOS, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BOS, eos_token=EOS)


def mixture_of(job: Job) -> Mixture:
    """The rows of a job, packed plainly as in the paper."""
    return Mixture(Stream(open_shard(Path(job.shard)), 0), (), job.sizes.context_tokens)


def random_model(shape: Shape, device: str, dtype: torch.dtype) -> Any:
    """A Llama with N(0, 0.02) weights, made on the device; all contestants start with the same.

    Drawn in bfloat16, whatever they are kept in: fp32 weights start at the same numbers.
    """
    from transformers import AutoModelForCausalLM, LlamaConfig

    config = LlamaConfig(**shape.config, use_cache=False)
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    for parameter in model.parameters():  # not model.to(): rotary frequencies stay in fp32
        parameter.data = parameter.data.to(dtype)
    return model
