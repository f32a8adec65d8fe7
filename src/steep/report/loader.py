"""Read a run directory and the artifacts that its `run.json` names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

from steep.core.errors import UserError
from steep.core.files import read_json, read_jsonl
from steep.evaluation.results import MetricsResult
from steep.evaluation.scores import Scores, read_scores
from steep.report.view_models import (
    Arm,
    ArtifactRef,
    CorpusSummary,
    Documents,
    Generation,
    OtherRequests,
    RejectedSample,
    ReportData,
    ResultTables,
    SamplePassage,
)

STAGES = ("documents", "generate", "corpus", "tokenize", "train", "evaluate")
PASSAGE_COLUMNS = ["id", "document_id", "call_id", "rank", "recipe", "subset", "words"]
REJECTED_COLUMNS = ["call_id", "document_id", "recipe", "reason"]


def load_run(project_root: Path, run_directory: Path) -> ReportData:
    """Read a run and the artifacts that it names.

    Raises:
        UserError: The run, its configuration or one of its artifacts is not there.
    """
    run = read_json(_existing(run_directory / "run.json"))
    config_text = _existing(run_directory / "config.yaml").read_text(encoding="utf-8")
    artifacts = _artifacts(project_root, run.get("artifacts") or {})
    only = {ref.stage: ref for ref in artifacts if ref.arm is None}
    wall_s = _in_order(run.get("wall_s") or {})
    evaluated = only.get("evaluate")
    scores = read_scores(_existing(evaluated.path / "scores.json")) if evaluated else Scores({})
    return ReportData(
        name=run["name"],
        created=run.get("created") or "",
        hardware=run.get("hardware") or "",
        wall_s=wall_s,
        config_text=config_text,
        config=yaml.safe_load(config_text) or {},
        artifacts=artifacts,
        documents=_documents(only["documents"]) if "documents" in only else None,
        generation=_generation(only["generate"], wall_s) if "generate" in only else None,
        corpus=_corpus(only["corpus"]) if "corpus" in only else None,
        arms=_arms(artifacts),
        tables=_tables(scores),
        requests=TypeAdapter(list[OtherRequests]).validate_python(run.get("requests") or []),
    )


def _tables(scores: Scores) -> ResultTables:
    own = {field.name for field in fields(ResultTables)} & {*scores.results}
    others = {
        name: found
        for name, found in scores.results.items()
        if name not in own and isinstance(found, MetricsResult)
    }
    named: Any = {name: scores.results[name] for name in own}
    return ResultTables(**named, others=others, skipped=scores.skipped)


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
    for row in read_jsonl(_existing(ref.path / "documents.jsonl")):
        whole = (row.get("metadata") or {}).get("part_of", row["id"])
        whole_of[row["id"]] = whole
        titles.setdefault(whole, row.get("title") or whole)
    skipped = [(row["source"], row["reason"]) for row in ref.manifest.get("skipped") or []]
    return Documents(ref.manifest.get("counts") or {}, titles, whole_of, skipped)


def _generation(ref: ArtifactRef, wall_s: Mapping[str, float]) -> Generation:
    manifest = ref.manifest
    rows = read_jsonl(_existing(ref.path / "entities.jsonl"))
    return Generation(
        model=manifest.get("model") or "",
        endpoint=manifest.get("endpoint") or "",
        counts=manifest["counts"],
        usage=manifest.get("usage") or {},
        cost_usd=manifest.get("cost_usd"),
        failures=[(row["reason"], row["calls"]) for row in manifest.get("failures") or []],
        entities={row["document_id"]: row["entities"] for row in rows},
        # The artifact's own time: a rerun that found it finished took none.
        wall_s=manifest.get("wall_s") or wall_s.get("generate"),
        busy_s=manifest.get("busy_s"),
    )


def _corpus(ref: ArtifactRef) -> CorpusSummary:
    import pyarrow.parquet as pq

    passages = pq.read_table(_existing(ref.path / "passages.parquet"), columns=PASSAGE_COLUMNS)
    rejected = pq.read_table(_existing(ref.path / "rejected.parquet"), columns=REJECTED_COLUMNS)
    return CorpusSummary(
        path=ref.path,
        counts=ref.manifest.get("counts") or {},
        imported=ref.manifest.get("imported") or {},
        passages=[SamplePassage(**row) for row in passages.to_pylist()],
        rejected_rows=[RejectedSample(i, **row) for i, row in enumerate(rejected.to_pylist())],
    )


def _arms(artifacts: Sequence[ArtifactRef]) -> list[Arm]:
    shards = {ref.arm: ref.manifest for ref in artifacts if ref.stage == "tokenize"}
    return [
        _arm(ref.arm, ref, shards.get(ref.arm) or {})
        for ref in artifacts
        if ref.stage == "train" and ref.arm is not None
    ]


def _arm(name: str, ref: ArtifactRef, shard: Mapping[str, Any]) -> Arm:
    train, validation = ref.manifest, ref.path / "validation.jsonl"
    return Arm(
        name=name,
        passages=shard.get("passages"),
        passage_tokens=shard.get("tokens"),
        tokens=train.get("tokens"),
        replayed_tokens=train.get("replayed_tokens"),
        epochs=train.get("epochs"),
        steps=train.get("steps"),
        final_loss=train.get("final_loss"),
        wall_s=train.get("wall_s"),
        step_s=(train.get("last") or {}).get("elapsed_s"),
        metrics=read_jsonl(_existing(ref.path / "metrics.jsonl")),
        validation=read_jsonl(validation) if validation.is_file() else [],
    )
