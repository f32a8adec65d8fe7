"""What is done and what is to do, without doing anything."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from steep.config import Config
from steep.generation import plan
from steep.generation.ledger import Ledger
from steep.project import Project
from steep.stages import documents
from steep.stages.generate import recipe_of
from steep.stages.pipeline import STAGES


def status_of(config: Config, project: Project) -> dict[str, Any]:
    """The totals of the plan, the spending of the ledger, and the finished artifacts."""
    loaded = documents.load(documents.run(config, project))
    with Ledger(project.ledger_path, read_only=project.ledger_path.exists()) as ledger:
        totals = None
        if config.generate.recipe is not None:
            totals = plan.totals(loaded, recipe_of(config.generate), ledger)
        spending = ledger.usage()
        calls = sum(ledger.totals().values())
    return {
        "plan": totals.counts if totals else None,
        "failures": [failure._asdict() for failure in totals.failures] if totals else [],
        "ledger": {
            "calls": calls,
            "usage": asdict(spending.usage),
            "cost_usd": spending.cost_usd,
        },
        "artifacts": [
            {"stage": stage, "path": str(artifact.path.relative_to(project.root))}
            for stage in STAGES
            for artifact in project.finished(stage)
        ],
    }
