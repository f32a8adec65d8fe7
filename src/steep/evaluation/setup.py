"""What an evaluation is given: its settings, and what the rest of a run provides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from steep.core.artifacts import Project
from steep.evaluation.config import (
    EvaluateConfig,
    ForgettingConfig,
    OpenBookConfig,
    SummariesConfig,
)

if TYPE_CHECKING:
    from steep.ledger.budget import Budget
    from steep.ledger.ledger import Ledger


@dataclass(frozen=True)
class EvaluationSetup:
    """The settings of an evaluation, its project, and the models of the run.

    Attributes:
        project: The project directory.
        evaluate: Settings of the questions.
        open_book: Settings of retrieval.
        summaries: Settings of the study of summaries.
        forgetting: Settings of the general text and the tasks.
        base_name: The configured name of the base model.
        base_directory: Returns the directory of the base model, or its name on the Hub.
        arms: For each trained model, the recipes that it reads; tuned models included.
        tuned: The names of those models that were tuned on chats.
        replayed: The general text that training replays; None without replay.
        max_cost_usd: The limit of the project, in dollars.
        open_budget: Returns the limits of the project less what its ledger has spent.
    """

    project: Project
    evaluate: EvaluateConfig
    open_book: OpenBookConfig
    summaries: SummariesConfig
    forgetting: ForgettingConfig
    base_name: str
    base_directory: Callable[[], Path | str]
    arms: Mapping[str, tuple[str, ...]]
    tuned: frozenset[str]
    replayed: Path | Literal["builtin"] | None
    max_cost_usd: float | None
    open_budget: Callable[[Ledger], Budget]
