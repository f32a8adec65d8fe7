"""Loading Hugging Face models for training and scoring, quietly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from steep.core.errors import UserError


def model_directory(name: str) -> Path | str:
    """The directory or Hub name that `train.model` means; 'embedded' is converted when needed."""
    if name != "embedded":
        return name
    from steep.llm.weights import embedded_model

    return embedded_model()


def load_model(name: Path | str) -> Any:
    """Load a causal LM in fp32 for training or scoring.

    Raises:
        UserError: There is no such model.
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        model = AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise UserError(
            f"Cannot load the model '{name}'.",
            where="train.model",
            expected="'embedded', a Hugging Face directory, or a name on the Hub",
            found=str(error).splitlines()[0],
        ) from error
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def load_tokenizer(name: Path | str) -> Any:
    """Load the tokenizer of a model.

    Raises:
        UserError: There is none.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise UserError(
            f"Cannot load the tokenizer of '{name}'.",
            where="train.model",
            found=str(error).splitlines()[0],
        ) from error
