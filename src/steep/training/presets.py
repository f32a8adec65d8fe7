"""Presets: named sets of settings, each value with its source.

A preset is a dictionary of fields of a section; values in the configuration override it. The paper
is Yang et al., "Synthetic continued pretraining" (ICLR 2025); its code is at
github.com/ZitongYang/Synthetic_Continued_Pretraining. Where the two differ, the paper is followed,
except for the replay mode, which is only in the code.
"""

from __future__ import annotations

from typing import Any

Preset = dict[str, Any]

# Betas, epsilon and clipping are the defaults of the Hugging Face trainer, which the authors' code
# does not change; they are also the defaults of the section.
PAPER: Preset = {
    "context_tokens": 2048,  # appendix D
    "batch_sequences": 16,  # appendix D
    "micro_batch_sequences": 1,  # the code's per-device batch
    "epochs": 2.0,  # appendix D
    "learning_rate": 5e-6,  # appendix D: peak, then a cosine to zero
    "warmup": 0.05,  # appendix D: share of the steps
    "weight_decay": 0.01,  # scripts/train.sh
    "gradient_clip": 1.0,  # the trainer's default
    "replay_rate": 0.1,  # appendix D: RedPajama
    "replay_mode": "replace",  # data/cptdata.py: a replay block replaces another block
    "isolate_documents": False,  # data/cptdata.py: texts are joined and cut, attention crosses them
    "optimizer": "adamw",  # fp32 weights and moments, the default of the trainer
    "compute": "bfloat16",  # scripts/train.sh: --bf16
    "compile": "none",  # scripts/train.sh: no --torch_compile
    "recompute_every": 0,  # scripts/train.sh: no gradient checkpointing
}

# A model of 135M parameters on a processor: the settings of `steep demo`.
TINY: Preset = {
    "context_tokens": 256,  # LOG.md, 2026-11-22: 3.4 GB with the micro-batch below
    "batch_sequences": 2,  # 16,384 tokens are 32 steps
    "micro_batch_sequences": 2,  # LOG.md, 2026-11-22: 99 tokens/s, 62 with one sequence
    "learning_rate": 5e-4,  # LOG.md, 2026-11-22: at 1e-4, scores did not change
    "warmup": 0.05,  # paper
    "weight_decay": 0.01,  # paper's code
    "replay_rate": 0.1,  # paper
    "replay_mode": "add",  # the corpus is too small to skip texts
    "optimizer": "adamw",  # states are small at this size
    "compute": "float32",  # bf16 is emulated on most processors: 2.5 times slower at 135M
    "compile": "none",  # no gain at 135M on two cores, and 15 s to compile
}

# Llama 3 8B, all parameters, on one GPU of 80 GB: the paper's training in less memory.
ONE_GPU_8B: Preset = {
    **PAPER,
    "replay_mode": "add",  # every synthetic token is seen
    # 6.03 bytes per parameter instead of 16: bf16 weights with stochastic rounding, 8-bit moments.
    # Plain bf16 would lose 92% of the updates at this learning rate.
    "optimizer": "adamw-8bit-stochastic",
    "compile": "layers",
    # Compiled layers keep 5.8 GiB of activations per sequence at this size, beside 45 GiB of
    # weights, gradients and moments.
    "micro_batch_sequences": 4,
    "checkpoint_minutes": 20.0,  # 32 GB each: 1.4 minutes at the 0.39 GB/s of LOG.md, 2026-11-22
}

PRESETS = {"paper": PAPER, "tiny": TINY, "8b-one-gpu": ONE_GPU_8B}
