"""What is done and what is to do, without doing or writing anything."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from steep.config import Config
from steep.generation import plan
from steep.generation.ledger import Ledger
from steep.project import Project
from steep.stages import documents
from steep.stages.generate import recipe_of

SHOWN = ("documents", "generate", "corpus", "tokenize", "train", "score", "evaluate")


def status_of(config: Config, project: Project) -> dict[str, Any]:
    """The totals of the plan, the spending of the ledger, and the finished artifacts."""
    loaded = documents.peek(config, project)
    with _ledger(project) as ledger:
        totals = None
        if config.generate.recipe is not None:
            totals = plan.totals(loaded, recipe_of(config.generate), ledger)
        spending = ledger.usage()
        calls = sum(ledger.totals().values())
        imported = sum(1 for _ in ledger.imported())
    return {
        "plan": totals.counts if totals else None,
        "unopened": len(totals.unopened) if totals else 0,
        "failures": [failure._asdict() for failure in totals.failures] if totals else [],
        "ledger": {
            "calls": calls - imported,
            "imported": imported,
            "usage": asdict(spending.usage),
            "cost_usd": spending.cost_usd,
        },
        "artifacts": [
            {
                "stage": stage,
                "arm": artifact.manifest["identity"]["fields"].get("arm"),
                "path": str(artifact.path.relative_to(project.root)),
            }
            for stage in SHOWN
            for artifact in project.finished(stage)
        ],
    }


@contextmanager
def _ledger(project: Project) -> Iterator[Ledger]:
    """The project's ledger, or an empty one somewhere else while there is none."""
    if project.ledger_path.is_file():
        with Ledger(project.ledger_path, read_only=True) as ledger:
            yield ledger
        return
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "ledger.db") as ledger:
        yield ledger
