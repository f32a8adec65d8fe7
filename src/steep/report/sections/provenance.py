"""Provenance: times, machine, seeds, artifacts and configuration, all that a rerun needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from steep.core.formatting import UNKNOWN, duration
from steep.report.components import PageSection, count_table, facts, fold, section, table
from steep.report.html import Child, el
from steep.report.view_models import ArtifactRef, ReportData


def provenance(run: ReportData) -> PageSection:
    """Return the section."""
    machine: list[tuple[str, Child]] = [
        ("run", run.name),
        ("created", run.created or UNKNOWN),
        ("hardware", run.hardware or UNKNOWN),
        ("seeds", ", ".join(_seeds(run.config)) or UNKNOWN),
    ]
    total = f"{duration(sum(run.wall_s.values()))} in total."
    times = count_table("stage", "wall time", [*run.wall_s.items()], total, duration)
    return section(
        "provenance",
        "Provenance",
        "Artifacts are named by a hash of the settings and inputs that determine their data.",
        facts(machine, "facts"),
        times if run.wall_s else None,
        table(("artifact", "hash", "path"), map(_artifact, run.artifacts), texts=range(3)),
        fold("Resolved configuration", el("pre", run.config_text)),
    )


def _seeds(config: Mapping[str, object]) -> Iterator[str]:
    for name, part in config.items():
        if isinstance(part, dict) and "seed" in part:
            yield f"{name}.seed = {part['seed']}"


def _artifact(ref: ArtifactRef) -> tuple[Child, Child, Child]:
    name = ref.stage if ref.arm is None else f"{ref.stage}, {ref.arm}"
    return (name, el("code", ref.hash8), el("code", ref.shown_path))
