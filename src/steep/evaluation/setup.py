"""What an evaluation is given: its settings, and what the rest of a run provides."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from steep.core.artifacts import Project
from steep.core.calls import RAW_RECIPE
from steep.evaluation.config import (
    BASE,
    ContaminationConfig,
    EvaluateConfig,
    FaithfulnessConfig,
    ForgettingConfig,
    OpenBookConfig,
    SummariesConfig,
)

if TYPE_CHECKING:
    from steep.ledger.budget import Budget
    from steep.ledger.ledger import Ledger

STAGE = "evaluate"
SCORES_NAME = "scores.json"


class PlannedComparisons(NamedTuple):
    """What a study is made for, known before any result.

    Attributes:
        pairs: The planned comparisons (a, b) of arms and other models, a minus b.
        seeds: Of each trained arm, its models: one per seed.
    """

    pairs: Collection[tuple[str, str]]
    seeds: Mapping[str, Collection[str]]


@dataclass(frozen=True)
class EvaluationSetup:
    """The settings of an evaluation, its project, and the models of the run.

    Attributes:
        base_directory: Returns the directory of the base model, or its name on the Hub.
        arms: For each trained model, the recipes that it reads; tuned models included.
        seeds: The trained models of each arm, one per seed; tuned arms included.
        replayed: The general text that training replays; None without replay.
        open_budget: Returns the limits of the project less what its ledger has spent.
    """

    project: Project
    evaluate: EvaluateConfig
    open_book: OpenBookConfig
    summaries: SummariesConfig
    forgetting: ForgettingConfig
    base_name: str  # the configured name of the base model
    base_directory: Callable[[], Path | str]
    arms: Mapping[str, tuple[str, ...]]
    seeds: Mapping[str, tuple[str, ...]]
    tuned: frozenset[str]  # the names of those models that were tuned on chats
    replayed: Path | Literal["builtin"] | None
    max_cost_usd: float | None  # the limit of the project, in dollars
    open_budget: Callable[[Ledger], Budget]
    contamination: ContaminationConfig
    faithfulness: FaithfulnessConfig

    def planned_comparisons(self, models: Iterable[str]) -> PlannedComparisons:
        """Return the comparisons (a, b), a minus b, that were planned before any result.

        Those of `evaluate.comparisons`; by default, each model against the base, and each arm that
        reads synthetic texts against each that reads the raw documents alone, both tuned on chats
        or neither. All other pairs are exploratory.
        """
        if self.evaluate.comparisons is not None:
            return PlannedComparisons({*self.evaluate.comparisons}, self.seeds)
        arm_of = {model: arm for arm, own in self.seeds.items() for model in own}
        others = [arm_of.get(name, name) for name in models if name != BASE]
        reads = {name: self.arms.get(name) for name in others}
        raw = [name for name in others if reads[name] == (RAW_RECIPE,)]
        synthetic = [name for name in others if reads[name] and name not in raw]
        pairs = {(name, BASE) for name in others} | {
            (a, b) for a in synthetic for b in raw if (a in self.tuned) == (b in self.tuned)
        }
        return PlannedComparisons(pairs, self.seeds)
