"""What a run has spent, as `run.json` and the manifest of its generation hold it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class StepOutcomes:
    """The planned calls of one step of a recipe, by outcome, with their usage and cost."""

    recipe: str
    step: str
    counts: Mapping[str, int]
    usage: Mapping[str, int]
    known_usd: float
    unpriced: int


@dataclass(frozen=True, slots=True)
class EndpointSpending:
    """All calls and requests of the project to a model at an endpoint.

    `latency_s` holds the median, the 90th and the 99th percentile of the seconds of an answer;
    nothing where they are unknown, as in a provider's batch.
    """

    endpoint: str
    model: str
    answered: int
    failed: int
    attempts: int
    usage: Mapping[str, int]
    known_usd: float
    unpriced: int
    latency_s: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class TextCost:
    """The calls of passages (`reason` is empty), or of the texts rejected for a reason."""

    reason: str
    calls: int
    completion_tokens: int
    known_usd: float
    unpriced: int


@dataclass(frozen=True, slots=True)
class LostAttempts:
    """Attempts of the project that returned nothing usable, and the most that they cost."""

    attempts: int = 0
    tokens: int = 0
    cost_usd: float = 0.0
    unpriced: int = 0


@dataclass(frozen=True, slots=True)
class RunSpending:
    """What `run.json` holds on money; empty parts in runs of earlier versions."""

    endpoints: Sequence[EndpointSpending] = ()
    lost: LostAttempts = field(default_factory=LostAttempts)
    outcomes: Sequence[TextCost] = ()
