"""What each optimizer makes of the paper's learning rate, beside AdamW in fp32 on the same batches.

    python benchmarks/training/optimizer_parity.py [--steps 500] [--rate 5e-6]

A Llama of two layers with N(0, 0.02) weights (rounded to bfloat16, so that all start alike) learns
the texts of the tiny corpus: 5% warm-up, then cosine, weight decay 0.01, clipping at 1. Loss and
gradients are computed in fp32 from the weights as stored, and gradients are rounded to the type of
the weights: what differs is the optimizer alone. Columns, over all matrices:

- moved: the share of weights that a step changes, mean over steps;
- norms: the share of the norms' weights, 1.0 at the start, that have changed at the end;
- length: length of the whole movement, as a share of fp32's;
- progress: its projection on fp32's movement, as a share of that. Rounding at random adds length,
  but no progress; lost updates lack here;
- cosine: between the two movements;
- loss: mean nats a token on the corpus at the end, of the weights as stored; and how far that is
  from fp32's, as a share of what fp32 learnt.

Passes: progress within 5%, cosine at least 0.8, loss within 2%. Rows of torchao appear where it is
installed.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from steep.testing.tiny_corpus import DOCUMENTS
from steep.training.config import OptimizationConfig, OptimizerName
from steep.training.optimizers import (
    make_optimizer,
    set_learning_rate,
)

BYTES = 256  # the vocabulary: texts are read byte by byte
ROWS, CONTEXT_TOKENS = 4, 64
BETAS, EPSILON, DECAY, CLIP = (0.9, 0.999), 1e-8, 0.01, 1.0
KINDS: tuple[OptimizerName, ...] = ("adamw", "adamw-8bit-stochastic")
SETTINGS = OptimizationConfig(weight_decay=DECAY, compile="none")
# How the weights that the optimizer holds are put right after its step, if at all.
Mend = Callable[[nn.Parameter], None]
Make = Callable[[list[tuple[str, nn.Parameter]], float], torch.optim.Optimizer]


class Contestant(NamedTuple):
    """One way to take a step."""

    make: Make
    dtype: torch.dtype
    mend: Mend | None = None


class Outcome(NamedTuple):
    """Where a run ended: masters by name, and the loss of what is stored."""

    weights: dict[str, Tensor]
    loss: float
    moved: float
    step_ms: float


class Verdict(NamedTuple):
    """An outcome beside fp32's, see the module."""

    length: float
    progress: float
    cosine: float
    loss_gap: float

    @property
    def passes(self) -> bool:
        """Whether this may stand in for AdamW in fp32."""
        return abs(self.progress - 1) <= 0.05 and self.cosine >= 0.8 and abs(self.loss_gap) <= 0.02


class Rig:
    """The model, its start and its batches: the same for every contestant."""

    def __init__(self, steps: int, rate: float, hidden: int = 128) -> None:
        self.steps, self.rate = steps, rate
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.model: Any = LlamaForCausalLM(
                LlamaConfig(
                    vocab_size=BYTES,
                    hidden_size=hidden,
                    intermediate_size=3 * hidden,
                    num_hidden_layers=2,
                    num_attention_heads=4,
                    num_key_value_heads=2,
                    max_position_embeddings=CONTEXT_TOKENS,
                    tie_word_embeddings=True,
                )
            )
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.copy_(parameter.bfloat16())
        self.start = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        text = "".join(document.text for document in DOCUMENTS).encode()
        self.ids = torch.tensor(list(text))
        self.start_loss = self.loss(self.corpus_rows()).item()

    def batch(self, step: int) -> Tensor:
        """Rows of a step, from places drawn for it."""
        generator = torch.Generator().manual_seed(step)
        places = torch.randint(0, len(self.ids) - CONTEXT_TOKENS, (ROWS,), generator=generator)
        return torch.stack([self.ids[place : place + CONTEXT_TOKENS] for place in places])

    def corpus_rows(self) -> Tensor:
        """The corpus once, cut into rows."""
        rows = len(self.ids) // CONTEXT_TOKENS
        return self.ids[: rows * CONTEXT_TOKENS].view(rows, CONTEXT_TOKENS)

    def loss(self, ids_BT: Tensor) -> Tensor:
        """Mean nats a token."""
        loss: Tensor = self.model(input_ids=ids_BT, labels=ids_BT, use_cache=False).loss
        return loss

    def rate_at(self, step: int) -> float:
        """Warm-up over 5% of the steps, then half a cosine to zero."""
        warmup = math.ceil(0.05 * self.steps)
        if step < warmup:
            return self.rate * (step + 1) / warmup
        return self.rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (self.steps - warmup)))

    def run(self, contestant: Contestant) -> Outcome:
        """Train from the start with one contestant."""
        named = [
            (name, nn.Parameter(tensor.to(contestant.dtype, copy=True)))
            for name, tensor in self.start.items()
        ]
        optimizer = contestant.make(named, self.rate)
        before, moved, seconds = weights_of(named), 0.0, 0.0
        for step in range(self.steps):
            self._gradients(named, step)
            set_rate(optimizer, self.rate_at(step))
            began = time.perf_counter()
            optimizer.step()
            seconds += time.perf_counter() - began
            if contestant.mend:
                for _, parameter in named:
                    contestant.mend(parameter)
            after = weights_of(named)
            moved += (flat(before) != flat(after)).float().mean().item() / self.steps
            before = after
        self._load(named)
        loss = self.loss(self.corpus_rows()).item()
        return Outcome(before, loss, moved, 1000 * seconds / self.steps)

    def judge(self, outcome: Outcome, reference: Outcome) -> Verdict:
        """Compare with AdamW in fp32."""
        ours, theirs = (flat(each.weights) - flat(self.start) for each in (outcome, reference))
        length = (ours.norm() / theirs.norm()).item()
        cosine = torch.cosine_similarity(ours, theirs, dim=0).item()
        gap = (outcome.loss - reference.loss) / (self.start_loss - reference.loss)
        return Verdict(length, length * cosine, cosine, gap)

    def _gradients(self, named: list[tuple[str, nn.Parameter]], step: int) -> None:
        self._load(named)
        self.model.zero_grad()
        self.loss(self.batch(step)).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        own = dict(self.model.named_parameters())
        for name, parameter in named:
            parameter.grad = own[name].grad.to(parameter.dtype)

    @torch.no_grad()
    def _load(self, named: list[tuple[str, nn.Parameter]]) -> None:
        own = dict(self.model.named_parameters())
        for name, parameter in named:
            own[name].copy_(parameter)


def set_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Set the learning rate; torchao keeps it in a tensor."""
    if isinstance(optimizer.param_groups[0]["lr"], Tensor):
        for group in optimizer.param_groups:
            group["lr"].fill_(value)
    else:
        set_learning_rate(optimizer, value)


def weights_of(named: list[tuple[str, nn.Parameter]]) -> dict[str, Tensor]:
    """Copy the weights in fp32."""
    return {name: each.detach().to(torch.float32, copy=True) for name, each in named}


def flat(weights: dict[str, Tensor]) -> Tensor:
    """All matrices in one row, in double precision: sums of half a million terms."""
    return torch.cat([tensor.flatten() for tensor in weights.values() if tensor.dim() > 1]).double()


def ours(kind: OptimizerName) -> Contestant:
    """An optimizer of the package."""

    def make(named: list[tuple[str, nn.Parameter]], rate: float) -> torch.optim.Optimizer:
        return make_optimizer(
            named, SETTINGS.model_copy(update={"optimizer": kind, "learning_rate": rate})
        )

    return Contestant(make, torch.float32 if kind == "adamw" else torch.bfloat16)


def plain(dtype: torch.dtype, mend: Mend | None = None) -> Contestant:
    """AdamW of torch on weights of `dtype`: its moments have that type too."""

    def make(named: list[tuple[str, nn.Parameter]], rate: float) -> torch.optim.Optimizer:
        parameters = [parameter for _, parameter in named]
        return torch.optim.AdamW(parameters, rate, BETAS, EPSILON, DECAY, fused=True)

    return Contestant(make, dtype, mend)


def round_to_nearest(parameter: nn.Parameter) -> None:
    """What storing weights in bfloat16 does, and nothing else: moments stay fp32."""
    parameter.data = parameter.data.bfloat16().float()


def torchao(stochastic: bool) -> Contestant:
    """8-bit AdamW of torchao, uncompiled."""

    def make(named: list[tuple[str, nn.Parameter]], rate: float) -> torch.optim.Optimizer:
        from torchao.optim import AdamW8bit

        torch.compiler.set_stance("force_eager")
        parameters = [parameter for _, parameter in named]
        optimizer: torch.optim.Optimizer = AdamW8bit(
            parameters, rate, BETAS, EPSILON, DECAY, bf16_stochastic_round=stochastic
        )
        return optimizer

    return Contestant(make, torch.bfloat16)


def contestants() -> dict[str, Contestant]:
    """All of them; fp32 first."""
    found: dict[str, Contestant] = {kind: ours(kind) for kind in KINDS}
    found["bf16 weights, to nearest"] = plain(torch.float32, round_to_nearest)
    found["bf16 weights and moments"] = plain(torch.bfloat16)
    if find_spec("torchao"):
        found["torchao 8-bit, stochastic"] = torchao(True)
        found["torchao 8-bit, to nearest"] = torchao(False)
    return found


def main() -> None:
    """Run all and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--rate", type=float, default=5e-6)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rig = Rig(options.steps, options.rate)
    size = sum(tensor.numel() for tensor in rig.start.values())
    print(f"{size:,} parameters, {options.steps} steps, loss {rig.start_loss:.4f} at the start")
    print(
        f"{'':26} {'moved':>6} {'norms':>6} {'length':>7} {'progress':>8} {'cosine':>7} "
        f"{'loss':>7} {'gap':>7} {'ms/step':>7}"
    )
    reference: Outcome | None = None
    for name, contestant in contestants().items():
        outcome = rig.run(contestant)
        reference = reference or outcome
        print(row(rig, name, outcome, rig.judge(outcome, reference)), flush=True)


def row(rig: Rig, name: str, outcome: Outcome, verdict: Verdict) -> str:
    """One line of the table."""
    norms = torch.cat([w for w in outcome.weights.values() if w.dim() == 1])
    return (
        f"{name:26} {outcome.moved:6.1%} {(norms != 1).float().mean().item():6.1%} "
        f"{verdict.length:7.3f} {verdict.progress:8.3f} {verdict.cosine:7.3f} {outcome.loss:7.4f} "
        f"{verdict.loss_gap:7.2%} {outcome.step_ms:7.1f} {'passes' if verdict.passes else 'FAILS'}"
    )


if __name__ == "__main__":
    main()
