"""What a page shows, as frozen data: the nouns that `inputs` reads and the sections draw.

A part that a run does not have (no questions, imported texts only) is None, and the page says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BASE, HUMAN = "base", "human"
RAW_RECIPE = "documents"


@dataclass(frozen=True, slots=True)
class ArtifactRef:
    """A finished stage that the run used; `arm` is set where every arm has its own."""

    stage: str
    arm: str | None
    path: Path
    shown_path: str
    manifest: Mapping[str, Any]

    @property
    def hash8(self) -> str:
        """The eight digits that name it."""
        return self.path.name.rsplit("-", 1)[-1]


@dataclass(frozen=True, slots=True)
class Documents:
    """The sources: titles by the id of the whole document, counts, what could not be read."""

    counts: Mapping[str, int]
    titles: Mapping[str, str]
    whole_of: Mapping[str, str]
    skipped: Sequence[tuple[str, str]]

    @property
    def total(self) -> int:
        """How many whole documents there are."""
        return len(self.titles)


@dataclass(frozen=True, slots=True)
class Generation:
    """What the ledger says of the calls of this run; a cost of None is an unknown cost.

    `wall_s` is of all runs that made them, `busy_s` that part in which a call was under way.
    """

    model: str
    endpoint: str
    counts: Mapping[str, int]
    usage: Mapping[str, int]
    cost_usd: float | None
    failures: Sequence[tuple[str, int]]
    entities: Mapping[str, Sequence[str]]
    wall_s: float | None
    busy_s: float | None


@dataclass(frozen=True, slots=True)
class SamplePassage:
    """A passage without its text, which is read only for the few that are shown."""

    id: str
    document_id: str
    call_id: str | None
    rank: int
    recipe: str
    subset: Sequence[str]
    words: int


@dataclass(frozen=True, slots=True)
class RejectedSample:
    """A completion that became no passage, and why; `index` is its row in the table."""

    index: int
    call_id: str
    document_id: str
    recipe: str
    reason: str


@dataclass(frozen=True, slots=True)
class CorpusSummary:
    """The passages and what was rejected; `imported` names the models of recorded texts."""

    path: Path
    counts: Mapping[str, int]
    imported: Mapping[str, Sequence[str]]
    passages: Sequence[SamplePassage]
    rejected_rows: Sequence[RejectedSample]

    def passage_texts(self, ids: Sequence[str]) -> Mapping[str, str]:
        """Read the texts of a few passages."""
        import pyarrow.compute as pc
        import pyarrow.dataset as ds

        table = ds.dataset(self.path / "passages.parquet").to_table(
            columns=["id", "text"], filter=pc.field("id").isin(list(ids))
        )
        return {row["id"]: row["text"] for row in table.to_pylist()}

    def rejected_texts(self, indices: Sequence[int]) -> list[str]:
        """Read the texts of a few rows that were rejected."""
        import pyarrow.dataset as ds

        table = ds.dataset(self.path / "rejected.parquet").take(list(indices), columns=["text"])
        return [text or "" for text in table.column("text").to_pylist()]


@dataclass(frozen=True, slots=True)
class Arm:
    """One trained model: what it read and how its training went."""

    name: str
    train: Mapping[str, Any]
    tokenize: Mapping[str, Any]
    metrics: Sequence[Mapping[str, float]]
    validation: Sequence[Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95% interval and how many values it is made of; an open bound is None.

    Accuracies and their differences are fractions; other figures are in their own unit.
    """

    n: int
    value: float
    low: float | None
    high: float | None

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero."""
        if self.low is None or self.high is None:
            return False
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class ModelScore:
    """How one model answered; no figure where none of its answers counts."""

    name: str
    documents: int
    overall: Estimate | None
    by_kind: Mapping[str, Estimate]
    by_normalizer: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class PairScore:
    """How much more `a` answered than `b`, question by question.

    Only planned comparisons are corrected for one another.
    """

    a: str
    b: str
    planned: bool
    overall: Estimate
    by_kind: Mapping[str, Estimate]
    p: float
    p_holm: float | None
    p_mcnemar: float | None


@dataclass(frozen=True, slots=True)
class Compared:
    """Models on the same questions: each by itself, and every two paired.

    `chance_by_kind` is what guessing would reach on the questions of each kind, where that is told.
    """

    models: Sequence[ModelScore]
    pairs: Sequence[PairScore]
    minimum_detectable_difference: float | None
    chance_by_kind: Mapping[str, float] = field(default_factory=dict)

    @property
    def kinds(self) -> list[str]:
        """The kinds of question, in order of first appearance; none when there is only one."""
        kinds = list(dict.fromkeys(kind for model in self.models for kind in model.by_kind))
        return kinds if len(kinds) > 1 else []

    @property
    def questions(self) -> int:
        """How many questions count for the model of which the most count."""
        return max((model.overall.n for model in self.models if model.overall), default=0)

    @property
    def documents(self) -> int:
        """How many documents these are about."""
        return max(model.documents for model in self.models)


@dataclass(frozen=True, slots=True)
class Scores:
    """Choices by likelihood, and how they were counted."""

    normalizer: str
    chance: float | None
    compared: Compared


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything that a page shows."""

    name: str
    created: str
    hardware: str
    wall_s: Mapping[str, float]
    config_text: str
    config: Mapping[str, Any]
    artifacts: Sequence[ArtifactRef]
    documents: Documents | None
    generation: Generation | None
    corpus: CorpusSummary | None
    arms: Sequence[Arm]
    scores: Scores | None
    # The tables of `scores.json`, by name: answers, open_book, ...
    measured: Mapping[str, Any]
    # What servers were asked beside generation, as `steep.ledger.requests.PurposeCost` has it.
    requests: Sequence[Mapping[str, Any]] = ()

    def setting(self, section: str, key: str) -> Any:
        """A value of the resolved configuration, or None."""
        return (self.config.get(section) or {}).get(key)

    @property
    def embedded_generator(self) -> bool:
        """Whether the generator ran in this process, on the user's own machine."""
        return bool(self.setting("generate", "engine") == "embedded")

    def reads(self, arm: str) -> Sequence[str]:
        """The recipes that an arm is trained on."""
        return tuple((self.setting("train", "arms") or {}).get(arm) or ())

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """Questions that were not asked, and why."""
        return [(row["question_id"], row["reason"]) for row in self.measured.get("skipped") or []]

    @property
    def has_scores(self) -> bool:
        """Whether anything was measured at all."""
        return any(table for name, table in self.measured.items() if name != "skipped")

    @property
    def series(self) -> dict[str, int]:
        """The number of each model's color and marker, the same in every figure; base is 0."""
        scored = measured_models(self.measured)
        names = dict.fromkeys([BASE, *scored, *(arm.name for arm in self.arms)])
        return {name: index for index, name in enumerate(names)}

    @property
    def ordered_arms(self) -> list[Arm]:
        """The arms in the order of their colors."""
        return sorted(self.arms, key=lambda arm: self.series[arm.name])

    def title_of(self, document_id: str) -> str:
        """The title of a document, or its id when it has none."""
        titles = self.documents.titles if self.documents else {}
        return titles.get(document_id) or document_id


def measured_models(measured: Mapping[str, Any]) -> Iterator[str]:
    """The models that any table has, in the order of the tables."""
    short = (measured.get("short_answers") or {}).get("exact_match")
    for table in (measured.get("likelihood"), measured.get("answers"), short):
        yield from (model["name"] for model in (table or {}).get("models", ()))
    yield from (cell["model"] for cell in (measured.get("open_book") or {}).get("cells", ()))
    writers = [
        each["texts"]["writer"] for each in (measured.get("summaries") or {}).get("sets", ())
    ]
    yield from (writer for writer in writers if writer != HUMAN)
    for table in (measured.get("general_text"), measured.get("tasks")):
        yield from (model["name"] for model in (table or {}).get("models", ()))
