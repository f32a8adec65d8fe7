"""The Hugging Face Trainer as a contestant, with the flags that make it fast.

Same weights, same rows in the same order, same learning rates, same clipping. Rows are packed, so
there is no attention mask; workers read them ahead into pinned memory, from which they are copied
asynchronously; nothing is logged, and the loss is not tested for NaN in every micro-batch, which
the Trainer does by default. The other flags are part of a contestant's name, see `contestant`.

Liger's fused loss cannot be compiled in PyTorch 2.11 (and its authors' port for transformers
excludes it from compilation: huggingface/kernels-community, pull request 906). So where both are
used, only the decoder layers are compiled, in place and as Steep compiles them, and of Liger only
the loss is used: the other kernels are what the compiler makes itself. `compile_regions` of
accelerate would not do: it compiles a copy of the model, while Liger's forward pass is bound to the
original.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch
from benchmarks.training.job import Job, mixture_of, random_model
from benchmarks.training.recorder import Recorder
from torch.utils.data import Dataset

from steep.tokens.mixture import Mixture
from steep.training.model_dims import decoder_layers
from steep.training.optimizers import learning_rate_at
from steep.training.prepare import compile_layers

# By short name: the Trainer's `optim` and `optim_args`. That of bitsandbytes rounds bf16 weights to
# the nearest, which loses most of what is learned at a low rate: it shows speed only.
OPTIMIZERS = {
    "fused": ("adamw_torch_fused", None),
    "8-bit": ("adamw_torch_8bit", "bf16_stochastic_round=True"),
    "8-bit of bitsandbytes": ("adamw_bnb_8bit", None),
}
# Liger's kernels by short name: all of them, or only the loss, which never holds all logits.
LIGER = {"all": None, "loss": {"rope": False, "rms_norm": False, "swiglu": False}}


@dataclass(frozen=True)
class HuggingFace:
    """One set of flags.

    Attributes:
        weights: Precision in which weights are kept: fp32 ones are cast by autocast on a GPU.
        optimizer: A key of `OPTIMIZERS`.
        compile: "model" is `torch_compile`; "layers" compiles each decoder layer as Steep does.
        liger: A key of `LIGER`; None: without it.
    """

    weights: str
    optimizer: str
    compile: Literal["model", "layers"] | None = None
    liger: str | None = None

    def run(self, job: Job, recorder: Recorder) -> None:
        """Train."""
        from transformers import TrainerCallback

        class Ticks(TrainerCallback):  # type: ignore[misc]
            def on_step_end(self, *_: Any, **__: Any) -> None:
                recorder.step_done()

        model = random_model(job.sizes, job.device, getattr(torch, self.weights))
        if self.compile == "layers":
            compile_layers(decoder_layers(model))
        rows = RowsDataset(mixture_of(job), job.all_steps * job.sizes.batch_sequences)
        with TemporaryDirectory() as directory:
            arguments = self.arguments(job, directory)
            recorder.settings = self.described(job, arguments)
            trainer = trainer_class(job, recorder)(
                model=model, args=arguments, train_dataset=rows, callbacks=[Ticks()]
            )
            accelerator = trainer.accelerator
            accelerator.backward = recorder.timed("backward", accelerator.backward)
            accelerator.clip_grad_norm_ = recorder.timed("clip", accelerator.clip_grad_norm_)
            trainer.train()
        micro = len(recorder.losses) / job.all_steps
        assert micro == job.sizes.batch_sequences // job.micro_sequences, micro

    def described(self, job: Job, arguments: Any) -> str:
        """The flags in words."""
        flags = f"{arguments.optim.value}, {self.weights} weights"
        flags += ", autocast" * bool(arguments.bf16)
        flags += f", compiled {self.compile}" if self.compile else ""
        flags += f", Liger: {self.liger}" if self.liger else ""
        return f"{flags}, {job.micro_sequences} rows at once"

    def arguments(self, job: Job, directory: str) -> Any:
        """The flags."""
        from transformers import TrainingArguments

        sizes, on_gpu = job.sizes, job.device == "cuda"
        optim, optim_args = OPTIMIZERS[self.optimizer]
        return TrainingArguments(
            output_dir=directory,
            max_steps=job.all_steps,
            per_device_train_batch_size=job.micro_sequences,
            gradient_accumulation_steps=sizes.batch_sequences // job.micro_sequences,
            learning_rate=sizes.learning_rate,
            weight_decay=0.01,
            max_grad_norm=1.0,
            optim=optim,
            optim_args=optim_args,
            bf16=on_gpu and self.weights == "float32",
            torch_compile=self.compile == "model",
            use_liger_kernel=self.liger is not None,
            liger_kernel_config=LIGER[self.liger] if self.liger else None,
            train_sampling_strategy="sequential",
            dataloader_pin_memory=on_gpu,
            dataloader_num_workers=2 if on_gpu else 0,
            dataloader_prefetch_factor=8 if on_gpu else None,
            remove_unused_columns=False,
            logging_nan_inf_filter=False,
            logging_strategy="no",
            accelerator_config={"non_blocking": on_gpu},
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=not on_gpu,
        )


def trainer_class(job: Job, recorder: Recorder) -> Any:
    """A Trainer that keeps its losses, without waiting for them, and tells what takes how long."""
    from transformers import Trainer
    from transformers.utils import logging

    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    logging.set_verbosity_error()

    class Timed(Trainer):  # type: ignore[misc]
        def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
            with recorder.host_phase("rows"):
                return super().get_batch_samples(*args, **kwargs)

        def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
            with recorder.phase("forward, with head"):
                return super().compute_loss(*args, **kwargs)

        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            loss = super().training_step(*args, **kwargs)
            recorder.losses.append(loss.detach())
            return loss

        def log(self, *args: Any, **kwargs: Any) -> None:
            """Print nothing; the loss has been read."""

        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            def share(step: int) -> float:
                return learning_rate_at(min(step, job.all_steps - 1), job.all_steps, 1.0, 0.05)

            optimizer = self.optimizer if optimizer is None else optimizer
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
            return self.lr_scheduler

    return Timed


class RowsDataset(Dataset[Mapping[str, torch.Tensor]]):
    """Steep's rows, one at a time. Labels are the ids: the model shifts them itself."""

    def __init__(self, mixture: Mixture, count: int) -> None:
        self.mixture, self.count = mixture, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Mapping[str, torch.Tensor]:
        ids_T = torch.from_numpy(self.mixture.rows(index, 1).ids_BT[0])
        return {"input_ids": ids_T, "labels": ids_T}
