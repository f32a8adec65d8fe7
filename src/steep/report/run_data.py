"""A run directory and its artifacts as frozen types; a part that a run does not have is None."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import yaml
from pydantic import TypeAdapter

from steep.core.arms import SourceUse, arm_of, recipes_read
from steep.core.artifacts import Project
from steep.core.calls import RAW_RECIPE
from steep.core.errors import UserError
from steep.core.files import read_json, read_jsonl
from steep.corpus.diversity_result import Diversity, read_diversity
from steep.corpus.passage import PASSAGES_NAME, REJECTED_NAME, stream_rows
from steep.corpus.source_spans import SourceText, read_sources
from steep.evaluation.config import BASE
from steep.evaluation.setup import SCORES_NAME
from steep.evaluation.study_results import read_scores
from steep.evaluation.writing.results import QUESTIONS_NAME, WritingResult, read_result
from steep.evaluation.writing.results import RESULT_NAME as WRITTEN_NAME
from steep.report.results import ResultTables
from steep.report.spending_data import RunSpending, StepOutcomes
from steep.scaling.comparison_results import ComparisonResult, find_compared
from steep.scaling.results import StudyResult, find_study

T = TypeVar("T")
STAGES = (
    "documents", "generate", "corpus", "diversity", "tokenize", "train", "instruct", "evaluate",
)  # fmt: skip
DOCUMENTS_NAME = "documents.jsonl"
READ_ROWS = 1024  # passages whose texts are in memory at once
_CREDENTIALS = re.compile(r"(://)[^/@\s'\"]+@")
REJECTED_COLUMNS = ["call_id", "document_id", "recipe", "reason"]


@dataclass(frozen=True, slots=True)
class ArtifactRef:
    """A finished stage of the run; `arm` is set where every arm has its own."""

    stage: str
    arm: str | None
    path: Path
    shown_path: str
    manifest: Mapping[str, Any]


class SkippedSource(NamedTuple):
    """A file, or a line of one, that was not read, or (`kept`) not as it is."""

    source: str
    reason: str
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Documents:
    """The source documents: titles and parts by id, counts, and files that were skipped."""

    titles: Mapping[str, str]
    whole_of: Mapping[str, str]
    path: Path | None = None  # of the artifact
    counts: Mapping[str, int] = field(default_factory=dict)
    skipped: Sequence[SkippedSource] = ()

    def sources(self, ids: Container[str]) -> Mapping[str, SourceText]:
        """Read the texts of whole documents."""
        return read_sources(self.path / DOCUMENTS_NAME, ids) if self.path else {}


class FailureCount(NamedTuple):
    """How many calls failed for one reason."""

    reason: str
    calls: int


class InformationWindow(NamedTuple):
    """Consecutive answers of a recipe: their number, words, and 4-grams not seen before."""

    calls: int
    words: int
    new: int


@dataclass(frozen=True, slots=True)
class Generation:
    """The calls of this run as the ledger records them; a cost of None is unknown.

    `wall_s` covers all runs that made the calls, `busy_s` the time with calls in flight.
    """

    counts: Mapping[str, int]
    entities: Mapping[str, Sequence[str]]
    model: str = ""
    endpoint: str = ""
    usage: Mapping[str, int] = field(default_factory=dict)
    cost_usd: float | None = None
    known_usd: float | None = None
    unpriced: int = 0
    failures: Sequence[FailureCount] = ()
    wall_s: float | None = None
    busy_s: float | None = None
    new_information: Mapping[str, Sequence[InformationWindow]] = field(default_factory=dict)
    exhausted: Sequence[str] = ()  # recipes that `generate.stop_when` has ended
    by_step: Sequence[StepOutcomes] = ()


@dataclass(frozen=True, slots=True)
class OtherRequests:
    """The requests for one purpose outside of generation."""

    purpose: str
    model: str
    requests: int
    failed: int
    usage: Mapping[str, int]
    known_usd: float
    unpriced: int


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
    """A completion that failed a filter; `index` is its row in the table."""

    index: int
    call_id: str
    document_id: str
    recipe: str
    reason: str


@dataclass(frozen=True, slots=True)
class CorpusSummary:
    """Passages and rejected texts; `imported` maps recipes of recorded texts to their models.

    `examples` holds call id, document, recipe and excerpt of a few rejected texts per reason.
    """

    path: Path
    counts: Mapping[str, int]
    imported: Mapping[str, Sequence[str]]
    examples: Mapping[str, Sequence[Mapping[str, str]]]
    passages: Sequence[SamplePassage]
    rejected_rows: Sequence[RejectedSample]

    def passage_texts(self, ids: Sequence[str]) -> Mapping[str, str]:
        """Read the texts of passages, in one pass with few others in memory."""
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        wanted, found = pa.array(ids, pa.string()), dict[str, str]()
        file = pq.ParquetFile(self.path / PASSAGES_NAME)
        for batch in file.iter_batches(READ_ROWS, columns=["id", "text"]):
            own = batch.filter(pc.is_in(batch["id"], value_set=wanted))
            found |= {row["id"]: row["text"] for row in own.to_pylist()}
        return found

    def rejected_texts(self, indices: Sequence[int]) -> list[str]:
        """Read the texts of a few rejected rows."""
        import pyarrow.dataset as ds

        table = ds.dataset(self.path / REJECTED_NAME).take(list(indices), columns=["text"])
        return [text or "" for text in table.column("text").to_pylist()]


@dataclass(frozen=True, slots=True)
class Arm:
    """One trained model: its training text and how its training went; unknown numbers are None.

    `step_s` is the time of all training steps, `wall_s` that of all runs that trained the arm.
    """

    name: str
    metrics: Sequence[Mapping[str, Any]]
    validation: Sequence[Mapping[str, Any]]
    passages: int | None = None
    passage_tokens: int | None = None
    tokens: float | None = None
    replayed_tokens: float | None = None
    epochs: float | None = None
    steps: int | None = None
    final_loss: float | None = None
    wall_s: float | None = None
    step_s: float | None = None
    mix: Sequence[SourceUse] = ()  # the sources of an arm with shares


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
    tables: ResultTables
    requests: Sequence[OtherRequests] = ()
    diversity: Sequence[Diversity] = ()
    study: StudyResult | None = None
    compared: ComparisonResult | None = None  # recipes, by steep compare
    written: WritingResult | None = None  # of the questions, if steep questions wrote them
    spending: RunSpending = field(default_factory=RunSpending)
    versions: Mapping[str, str] = field(default_factory=dict)  # by package
    inputs: Mapping[str, str] = field(default_factory=dict)  # SHA-256 of documents and questions
    changed: Mapping[str, Any] | None = None  # settings that differ from defaults; None: unknown

    def setting(self, section: str, key: str) -> Any:
        """Return a value of the resolved configuration, or None."""
        return (self.config.get(section) or {}).get(key)

    @property
    def generator(self) -> str:
        """Return the name of the model that generates the corpus."""
        return str(self.setting("generate", "model") or "")

    @property
    def embedded_generator(self) -> bool:
        """Return whether the generator ran in this process, on the user's own machine."""
        return bool(self.setting("generate", "engine") == "embedded")

    def reads(self, arm: str) -> Sequence[str]:
        """Return the recipes that an arm is trained on."""
        arms = self.setting("train", "arms") or {}
        return recipes_read(arms.get(arm_of(arm, arms)) or ())

    def reads_synthetic(self, arm: str) -> bool:
        """Return whether an arm is trained on texts other than the documents."""
        return bool(set(self.reads(arm)) - {RAW_RECIPE})

    @property
    def series(self) -> dict[str, int]:
        """Return the number of each model's color and marker, the same in every figure."""
        studied = (
            curve.arm
            for each in (self.study.metrics if self.study else ())
            for curve in each.curves
        )
        compared = [each.recipe for each in self.compared.texts] if self.compared else []
        arms = [arm.name for arm in self.arms]
        names = [BASE, *self.tables.models(), *arms, *studied, *compared]
        return {name: index for index, name in enumerate(dict.fromkeys(names))}

    @property
    def ordered_arms(self) -> list[Arm]:
        """Return the arms in the order of their colors."""
        return sorted(self.arms, key=lambda arm: self.series[arm.name])

    def title_of(self, document_id: str) -> str:
        """Return the title of a document, or its id when it has none."""
        titles = self.documents.titles if self.documents else {}
        return titles.get(document_id) or document_id


# ---- reading -------------------------------------------------------------------------------------


def load_run(project_root: Path, run_directory: Path) -> ReportData:
    """Read a run and the artifacts that its `run.json` names.

    Raises:
        UserError: The run, its configuration or one of its artifacts is not there.
    """
    run = read_json(_existing(run_directory / "run.json"))
    config_text = without_passwords(
        _existing(run_directory / "config.yaml").read_text(encoding="utf-8")
    )
    artifacts = _artifacts(project_root, run.get("artifacts") or {})
    only = {ref.stage: ref for ref in artifacts if ref.arm is None}
    wall_s = _in_order(run.get("wall_s") or {})
    evaluated = only.get("evaluate")
    config = yaml.safe_load(config_text) or {}
    scores = read_scores(_existing(evaluated.path / SCORES_NAME)) if evaluated else None
    return ReportData(
        name=run["name"],
        created=run.get("created") or "",
        hardware=run.get("hardware") or "",
        wall_s=wall_s,
        config_text=config_text,
        config=config,
        artifacts=artifacts,
        documents=_documents(only["documents"]) if "documents" in only else None,
        generation=_generation(only["generate"], wall_s) if "generate" in only else None,
        corpus=_corpus(only["corpus"]) if "corpus" in only else None,
        arms=_arms(artifacts),
        tables=ResultTables.of(scores) if scores else ResultTables(),
        requests=[_from_json(OtherRequests, each) for each in run.get("requests") or []],
        diversity=read_diversity(only["diversity"].path) if "diversity" in only else (),
        study=find_study(Project(project_root).store, run_directory),
        compared=find_compared(Project(project_root).store, run_directory),
        written=find_written(Project(project_root), config) if scores else None,
        spending=_from_json(RunSpending, run),
        versions=run.get("versions") or {},
        inputs=run.get("inputs") or {},
        changed=run.get("changed"),
    )


def without_passwords(text: str) -> str:
    """Hide what stands before the host of an address; endpoints refuse it, files may hold it."""
    return _CREDENTIALS.sub(r"\1***@", text)


def find_written(project: Project, config: Mapping[str, Any]) -> WritingResult | None:
    """Return how the questions were written; None if steep questions did not write them."""
    named = (config.get("evaluate") or {}).get("questions")
    if named is None:
        return None
    directory = Path(named).parent
    # The name alone finds it in a project that has moved.
    for each in (directory, project.store / directory.name):
        if (each / WRITTEN_NAME).is_file() and Path(named).name == QUESTIONS_NAME:
            return read_result(each)
    return None


def _from_json(kind: type[T], plain: Mapping[str, Any]) -> T:
    """Return an object of this type; null and a missing key are its default."""
    known = {key: value for key, value in plain.items() if value is not None}
    return TypeAdapter(kind).validate_python(known)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise UserError(
            f"The report needs {path.name}, which does not exist.",
            where=path,
            hint="run 'steep run' again: it rebuilds missing artifacts and keeps the others",
        )
    return path


def _in_order(by_stage: Mapping[str, Any]) -> dict[str, Any]:
    """Sort a mapping by stage; a key may have a suffix: `train raw`."""
    order = [*STAGES, *(name.split()[0] for name in by_stage)]
    names = sorted(by_stage, key=lambda name: order.index(name.split()[0]))
    return {name: by_stage[name] for name in names}


def _artifacts(root: Path, named: Mapping[str, Any]) -> list[ArtifactRef]:
    """Flatten `{stage: path}` and `{stage: {arm: path}}`."""
    found = []
    for stage, entry in _in_order(named).items():
        arms = entry.items() if isinstance(entry, dict) else [(None, entry)]
        for arm, relative in arms:
            if relative:
                path = root / relative
                manifest = read_json(_existing(path / "manifest.json"))
                found.append(ArtifactRef(stage, arm, path, str(relative), manifest))
    return found


def _documents(ref: ArtifactRef) -> Documents:
    titles: dict[str, str] = {}
    whole_of: dict[str, str] = {}
    for row in read_jsonl(_existing(ref.path / DOCUMENTS_NAME)):
        whole = (row.get("metadata") or {}).get("part_of", row["id"])
        whole_of[row["id"]] = whole
        titles.setdefault(whole, row.get("title") or whole)
    own = {"titles": titles, "whole_of": whole_of, "path": ref.path}
    return _from_json(Documents, {**ref.manifest, **own})


def _generation(ref: ArtifactRef, wall_s: Mapping[str, float]) -> Generation:
    rows = read_jsonl(_existing(ref.path / "entities.jsonl"))
    entities = {row["document_id"]: row["entities"] for row in rows}
    # The artifact's own time: a rerun that found it finished took none.
    took = ref.manifest.get("wall_s") or wall_s.get("generate")
    return _from_json(Generation, {**ref.manifest, "entities": entities, "wall_s": took})


def _corpus(ref: ArtifactRef) -> CorpusSummary:
    import pyarrow.parquet as pq

    passages = stream_rows(_existing(ref.path / PASSAGES_NAME), SamplePassage)
    rejected = pq.read_table(_existing(ref.path / REJECTED_NAME), columns=REJECTED_COLUMNS)
    return CorpusSummary(
        path=ref.path,
        counts=ref.manifest.get("counts") or {},
        imported=ref.manifest.get("imported") or {},
        examples=ref.manifest.get("rejected_examples") or {},
        passages=list(passages),
        rejected_rows=[RejectedSample(i, **row) for i, row in enumerate(rejected.to_pylist())],
    )


def _arms(artifacts: Sequence[ArtifactRef]) -> list[Arm]:
    shards = {ref.arm: ref.manifest for ref in artifacts if ref.stage == "tokenize"}
    trained = [ref for ref in artifacts if ref.stage == "train" and ref.arm is not None]
    return [_arm(ref, shards.get(ref.arm) or {}) for ref in trained]


def _arm(ref: ArtifactRef, shard: Mapping[str, Any]) -> Arm:
    validation = ref.path / "validation.jsonl"
    own = {
        "name": ref.arm,
        "passages": shard.get("passages"),
        "passage_tokens": shard.get("tokens"),
        "mix": shard.get("mix"),
        "step_s": (ref.manifest.get("last") or {}).get("elapsed_s"),
        "metrics": read_jsonl(_existing(ref.path / "metrics.jsonl")),
        "validation": read_jsonl(validation) if validation.is_file() else [],
    }
    return _from_json(Arm, {**ref.manifest, **own})
