"""The GPU kernels of training, by their machine code for an H100: no GPU is needed.

    python -m benchmarks.training.kernels [--shape llama-3-8b] [--only optimizer norm head layer]
        [--rows 4] [--budget 0.99]

Needs a build of PyTorch for CUDA 13, and gcc. For every kernel that torch.compile generates, and
every shape of its blocks (where there are several, the GPU chooses by time):

- thr.: threads of a block;
- GB: read and written, by the compiler's estimate;
- registers of a thread, bytes that it spills, and the warps for which they leave room on a
  multiprocessor, of 64;
- ins/el: machine instructions per element; of them "slow" ones (conversions, roots and
  reciprocals), which run at an eighth of the rate. Where rows are read in loops, those of all loops
  and around them count once, which is too many by up to a half;
- ms: what the kernel takes at least for its traffic at 3.0 TB/s, and for its instructions and its
  slow instructions on 132 multiprocessors at 1.5 GHz.

A layer also shows what its forward pass keeps for the backward pass, and the kernel of attention.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from benchmarks.training.job import SHAPES, Shape, random_model
from benchmarks.training.kernels_compiler import Code, Graph, Kernel, generate, pretend_h100
from torch import nn

from steep.training import prepare
from steep.training.config import OptimizationConfig
from steep.training.loss import chunk_loss, chunk_positions
from steep.training.model_dims import decoder_layers
from steep.training.optimizers import (
    TUNED,
    Scalars,
    Slots,
    new_state,
    update_parameter,
)
from steep.training.parallel import World

ISSUED_PER_S = 132 * 4 * 1.5e9  # warp instructions
SLOW_PER_S = ISSUED_PER_S / 8
BYTES_PER_S = 3.0e12


def settings_of(name: str, shape: Shape) -> OptimizationConfig:
    """Return the settings that a model of this size is trained with on one GPU."""
    return OptimizationConfig(
        context_tokens=shape.context_tokens,
        optimizer="adamw-8bit-stochastic" if name == "llama-3-8b" else "adamw",
        compute="bfloat16",
        compile="layers",
    )


def optimizer(shape: Shape) -> Callable[[], object]:
    """Update the largest matrix of a layer, with 8-bit moments."""
    return _update((shape.config["hidden_size"], shape.config["intermediate_size"]))


def norm(shape: Shape) -> Callable[[], object]:
    """Update the weight of a norm, with fp32 moments."""
    return _update((shape.config["hidden_size"],))


def _update(size: tuple[int, ...]) -> Callable[[], object]:
    def run() -> None:
        weight = nn.Parameter(torch.empty(size, dtype=torch.bfloat16, device="cuda"))
        gradient, state = torch.empty_like(weight), new_state(weight)
        scales = [state[each].view(-1, 1) for each in state if each.endswith("_scale")]
        cut = (-1, weight.numel() // len(scales[0])) if scales else (-1,)
        moments = [state[moment].view(cut) for moment in ("first", "second")]
        both: list[Any] = scales or [None, None]
        slots = Slots(weight.detach().view(cut), *moments, *both)
        key = torch.empty((), dtype=torch.int32, device="cuda")
        numbers = [torch.empty((), device="cuda") for _ in Scalars._fields[:-1]]
        update = torch.compile(update_parameter, fullgraph=True, dynamic=False, options=TUNED)
        with torch.no_grad():
            update(slots, gradient.view(cut), key, Scalars(*[*numbers, key]))

    return run


def head(shape: Shape) -> Callable[[], object]:
    """Compute the loss of a chunk, and its gradient by the logits."""
    vocabulary = shape.config["vocab_size"]

    def run() -> None:
        positions = chunk_positions(vocabulary, 2, compiled=True)
        logits_NV = torch.empty((positions, vocabulary), dtype=torch.bfloat16, device="cuda")
        targets_N = torch.empty(positions, dtype=torch.int64, device="cuda")
        with torch.no_grad():
            torch.compile(chunk_loss, dynamic=False)(logits_NV, targets_N)

    return run


def layer(shape: Shape, settings: OptimizationConfig, rows: int) -> Callable[[], object]:
    """Run a decoder layer forward and backward."""
    one = replace(shape, config=shape.config | {"num_hidden_layers": 1})

    def run() -> None:
        model = random_model(one, "cuda", prepare.weight_dtype(settings))
        layers = decoder_layers(model)
        prepare.compile_layers(layers)
        size = (rows, shape.context_tokens, shape.config["hidden_size"])
        hidden_BTE = torch.empty(
            size, dtype=prepare.weight_dtype(settings), device="cuda", requires_grad=True
        )
        positions = torch.arange(shape.context_tokens, device="cuda")[None]
        with prepare.computing(settings, World(0, 1, 0, torch.device("cuda"))):
            layers[0](
                hidden_BTE,
                attention_mask=None,
                position_ids=positions,
                use_cache=False,
                position_embeddings=model.model.rotary_emb(hidden_BTE, positions),
            )

    return run


def kept_bytes(backward: Graph, tokens: int) -> dict[str, float]:
    """Return the bytes per token of what a backward pass reads beside weights and gradients."""

    def is_kept(name: str, size: tuple[int, ...]) -> bool:
        if name.startswith("primals"):  # an input of the forward pass: the hidden states count
            return len(size) == 3 and size[0] * size[1] == tokens
        return not name.startswith("tangents")

    return {
        f"{name} {size}": count / tokens
        for name, (size, count) in backward.inputs.items()
        if is_kept(name, size)
    }


def line(kernel: Kernel, code: Code, elements: int) -> str:
    """Return the row of a kernel in one shape of its blocks."""
    slow = code.slow * code.threads / code.elements
    bounds = (
        kernel.gigabytes * 1e12 / BYTES_PER_S,
        1e3 * elements * code.instructions_per_element / 32 / ISSUED_PER_S,
        1e3 * elements * slow / 32 / SLOW_PER_S,
    )
    times = " ".join(f"{bound:7.3f}" for bound in bounds)
    return (
        f"  {kernel.name[7:47]:40} {code.blocks:24} {code.threads:4} {kernel.gigabytes:7.3f} "
        f"{code.registers:4} {code.stack_bytes:5} {code.warps:5} "
        f"{code.instructions_per_element:7.1f} {slow:5.1f} {times}"
    )


def show(title: str, graph: Graph) -> None:
    """Print the table of a graph."""
    print(f"\n{title}; library: {dict(graph.library) or 'nothing'}")
    print(
        f"  {'kernel':40} {'blocks':24} thr. {'GB':>7} regs spill warps  ins/el  slow "
        f"{'ms: GB':>7} {'ins':>7} {'slow':>7}"
    )
    for kernel in graph.kernels:
        for code in kernel.codes:
            print(line(kernel, code, kernel.elements))
    print(f"  all {sum(kernel.gigabytes for kernel in graph.kernels):.3f} GB")


def show_layer(forward: Graph, backward: Graph, tokens: int) -> None:
    """Print the tables of a layer, and what it keeps."""
    show("layer, forward", forward)
    show("layer, backward", backward)
    kept = kept_bytes(backward, tokens)
    print(f"\nkept for the backward pass: {sum(kept.values()):,.0f} B per token")
    for name, count in kept.items():
        print(f"  {count:9,.1f}  {name}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--shape", choices=[name for name in SHAPES if name != "tiny"], default="llama-3-8b"
    )
    parser.add_argument("--only", nargs="*", default=["optimizer", "norm", "head", "layer"])
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--budget", type=float, default=prepare.MEMORY_BUDGET)
    options = parser.parse_args()
    pretend_h100()
    shape = SHAPES[options.shape]
    prepare.MEMORY_BUDGET = options.budget
    plain: dict[str, Any] = {"optimizer": optimizer, "norm": norm, "head": head}
    for name in options.only:
        if name == "layer":
            settings = settings_of(options.shape, shape)
            forward, backward = generate(layer(shape, settings, options.rows))
            show_layer(forward, backward, options.rows * shape.context_tokens)
        else:
            for graph in generate(plain[name](shape)):
                show(name, graph)


if __name__ == "__main__":
    main()
