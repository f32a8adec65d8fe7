"""What a report reads of a run beside its artifacts: machine, versions, times and money.

`run.json` names the artifacts; `config.yaml` is the resolved configuration. Nothing here decides
the data of an artifact.
"""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Iterator
from dataclasses import asdict
from hashlib import file_digest
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from steep import __version__
from steep.config import Config
from steep.core.artifacts import Artifact, Project
from steep.core.config import changed_fields
from steep.core.machine import processor_name
from steep.documents.store import DOCUMENTS_NAME
from steep.ledger import requests
from steep.ledger.endpoint_totals import endpoint_totals
from steep.ledger.ledger import Ledger, open_ledger
from steep.ledger.text_costs import OutcomeCost, cost_of_texts

if TYPE_CHECKING:
    from steep.stages.pipeline import PipelineRun

# Packages whose version can change a number.
PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "scipy", "pyarrow", "lm_eval")


def resolved(config: Config) -> str:
    """Return the configuration with all defaults, as YAML."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def run_record(config: Config, project: Project, result: PipelineRun) -> dict[str, Any]:
    """Return what the report reads: artifacts, machine, versions, wall times, and money."""
    used: dict[str, Any] = {}
    wall_s: dict[str, float] = {}
    for name, value in vars(result).items():
        if isinstance(value, dict):
            used[name] = {arm: _relative(project, each) for arm, each in value.items()}
            for arm, each in value.items():
                wall_s[f"{name} {arm}"] = each.manifest["wall_s"]
        elif isinstance(value, Artifact):
            used[name] = _relative(project, value)
            wall_s[name] = value.manifest["wall_s"]
    with open_ledger(project) as ledger:
        money = _money(ledger, result)
    return {
        "name": config.name,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "artifacts": used,
        "hardware": f"{os.cpu_count()} x {processor_name()}, {platform.system()}, "
        f"Python {platform.python_version()}",
        "wall_s": wall_s,
        "versions": dict(_versions()),
        "inputs": dict(_input_hashes(config, result)),
        "changed": changed_fields(config),
        **money,
    }


def _money(ledger: Ledger, result: PipelineRun) -> dict[str, Any]:
    """Return what requests, lost attempts and the texts of the corpus have cost."""
    outcomes = [] if result.corpus is None else list(_outcomes(ledger, result.corpus))
    return {
        "requests": [asdict(each) for each in requests.costs(ledger)],
        "endpoints": [asdict(each) for each in endpoint_totals(ledger)],
        "lost": ledger.lost()._asdict(),
        "outcomes": [each._asdict() for each in outcomes],
    }


def _outcomes(ledger: Ledger, corpus: Artifact) -> Iterator[OutcomeCost]:
    """Yield what the calls of passages have cost, and of the texts rejected for each reason."""
    from steep.corpus.passage import PASSAGES_NAME, REJECTED_NAME

    yield cost_of_texts(ledger, "", _call_ids(corpus.path / PASSAGES_NAME))
    for reason in corpus.manifest["rejected"]:
        ids = _call_ids(corpus.path / REJECTED_NAME, reason)
        yield cost_of_texts(ledger, reason, ids)


def _call_ids(path: Path, reason: str | None = None) -> Iterator[str]:
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    chosen = None if reason is None else pc.field("reason") == reason
    for batch in ds.dataset(path).to_batches(columns=["call_id"], filter=chosen):
        yield from (each for each in batch.column("call_id").to_pylist() if each is not None)


def _versions() -> Iterator[tuple[str, str]]:
    yield "steep", __version__
    yield "python", platform.python_version()
    for name in PACKAGES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue


def _input_hashes(config: Config, result: PipelineRun) -> Iterator[tuple[str, str]]:
    """Yield the SHA-256 of the documents as they were read, of the questions and the replay."""
    files = {"documents": result.documents.path / DOCUMENTS_NAME}
    if config.evaluate.questions is not None:
        files["questions"] = Path(config.evaluate.questions)
    if config.train.replay_rate and isinstance(config.tokenize.replay, Path):
        files["replay"] = config.tokenize.replay
    for name, path in files.items():
        if path.is_file():
            with path.open("rb") as file:
                yield name, file_digest(file, "sha256").hexdigest()


def _relative(project: Project, artifact: Artifact) -> str:
    return artifact.path.relative_to(project.root).as_posix()
