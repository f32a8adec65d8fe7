"""What a run records beside its artifacts: the configuration, the machine, and wall times."""

from __future__ import annotations

import datetime
import os
import platform
from dataclasses import asdict
from typing import Any

import yaml

from steep.config import Config
from steep.core.artifacts import Artifact, Project
from steep.core.machine import processor_name
from steep.ledger import requests
from steep.ledger.ledger import open_ledger
from steep.stages.pipeline import STAGES, PipelineRun


def resolved(config: Config) -> str:
    """Return the configuration with all defaults, as YAML."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def run_record(config: Config, project: Project, result: PipelineRun) -> dict[str, Any]:
    """Return what the report reads: the artifacts of this run, the machine, and wall times."""
    used: dict[str, Any] = {}
    wall_s: dict[str, float] = {}
    for name in (*STAGES[:-1], "diversity"):
        value = getattr(result, name)
        if isinstance(value, dict):
            used[name] = {arm: _relative(project, each) for arm, each in value.items()}
            for arm, each in value.items():
                wall_s[f"{name} {arm}"] = each.manifest["wall_s"]
        elif value is not None:
            used[name] = _relative(project, value)
            wall_s[name] = value.manifest["wall_s"]
    return {
        "name": config.name,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "artifacts": used,
        "hardware": f"{os.cpu_count()} x {processor_name()}, {platform.system()}, "
        f"Python {platform.python_version()}",
        "wall_s": wall_s,
        "requests": _request_costs(project),
    }


def _request_costs(project: Project) -> list[dict[str, Any]]:
    """Return the number and cost of the requests that were not for generation."""
    with open_ledger(project) as ledger:
        return [asdict(each) for each in requests.costs(ledger)]


def _relative(project: Project, artifact: Artifact) -> str:
    return artifact.path.relative_to(project.root).as_posix()
