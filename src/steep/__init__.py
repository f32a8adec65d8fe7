"""Steep soaks a language model in your documents: synthetic continued pretraining, end to end.

What `__all__` names is the public API: what recipes are written with, and what reads the results
of a project. All other modules may change in any version. Names are imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from steep.config import Config
    from steep.config_loading import load_config
    from steep.core.calls import Call, Completion, Message, Sampling
    from steep.core.errors import UserError
    from steep.core.ids import derive_seed
    from steep.core.ranges import Range
    from steep.corpus.passage import Passage, read_passages
    from steep.documents.document import Document
    from steep.documents.reading import read_documents
    from steep.evaluation.results import Scores
    from steep.evaluation.study_results import read_scores
    from steep.recipes.recipe import (
        Recipe,
        RecipeKind,
        RecipeOptions,
        Rejected,
        Repeated,
        SampledOptions,
        Step,
        Writer,
        ask,
    )

__version__ = "0.1.0"

_HOMES = {
    "config": ("Config",),
    "config_loading": ("load_config",),
    "core.calls": ("Call", "Completion", "Message", "Sampling"),
    "core.errors": ("UserError",),
    "core.ids": ("derive_seed",),
    "core.ranges": ("Range",),
    "corpus.passage": ("Passage", "read_passages"),
    "documents.document": ("Document",),
    "documents.reading": ("read_documents",),
    "evaluation.results": ("Scores",),
    "evaluation.study_results": ("read_scores",),
    "recipes.recipe": (
        "Recipe", "RecipeKind", "RecipeOptions", "Rejected", "Repeated", "SampledOptions", "Step",
        "Writer", "ask",
    ),
}  # fmt: skip

__all__ = [
    "Call",
    "Completion",
    "Config",
    "Document",
    "Message",
    "Passage",
    "Range",
    "Recipe",
    "RecipeKind",
    "RecipeOptions",
    "Rejected",
    "Repeated",
    "SampledOptions",
    "Sampling",
    "Scores",
    "Step",
    "UserError",
    "Writer",
    "ask",
    "derive_seed",
    "load_config",
    "read_documents",
    "read_passages",
    "read_scores",
]


if not TYPE_CHECKING:  # type checkers would accept any name

    def __getattr__(name: str) -> Any:
        """Return a name of the public API; its module is imported on first use."""
        for module, names in _HOMES.items():
            if name in names:
                return getattr(import_module(f"steep.{module}"), name)
        raise AttributeError(f"module 'steep' has no attribute '{name}'")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
