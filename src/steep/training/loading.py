"""Loading a Hugging Face model and its tokenizer, quietly, with an error that says what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from steep.core.errors import UserError

EXPECTED = "'embedded', a Hugging Face directory, or a name on the Hub like owner/name"


def load_model(name: Path | str, dtype: Any = "float32") -> Any:
    """Load a causal LM into the memory of the host; `dtype` is a torch type or its name.

    Raises:
        UserError: There is no such model.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        return AutoModelForCausalLM.from_pretrained(name, dtype=dtype)
    except (OSError, ValueError) as error:
        raise not_loaded("model", name, error) from error


def load_tokenizer(name: Path | str) -> Any:
    """Load the tokenizer of a model.

    Raises:
        UserError: There is none.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise not_loaded("tokenizer of the model", name, error) from error


def not_loaded(what: str, name: Path | str, error: Exception) -> UserError:
    """The error for something that cannot be loaded."""
    return UserError(
        f"Cannot load the {what} '{name}'.",
        where="train.model",
        expected=EXPECTED,
        found=str(error).strip().splitlines()[0],
    )
