"""What it takes to do it again: times, machine, seeds, artifacts, configuration."""

from __future__ import annotations

from collections.abc import Mapping

from steep.core.formatting import UNKNOWN, duration
from steep.report.charts import bar_cell
from steep.report.components import Column, PageSection, facts, fold, section, table, text_column
from steep.report.html import Child, Html, el
from steep.report.view_models import ReportData


def record(run: ReportData) -> PageSection:
    """What it takes to do it again: times, machine, seeds, artifacts, configuration."""
    machine: list[tuple[str, Child]] = [
        ("run", run.name),
        ("made", run.created or UNKNOWN),
        ("hardware", run.hardware or UNKNOWN),
        ("seeds", ", ".join(_seeds(run.config)) or UNKNOWN),
    ]
    return section(
        "record",
        "The record",
        "An artifact is named by a hash of the settings and inputs that shape its data.",
        facts(machine, "facts"),
        _wall_times(run.wall_s),
        _artifact_table(run),
        fold("The resolved configuration", el("pre", run.config_text)),
    )


def _seeds(config: Mapping[str, object]) -> list[str]:
    return [
        f"{name}.seed = {part['seed']}"
        for name, part in config.items()
        if isinstance(part, dict) and "seed" in part
    ]


def _wall_times(wall_s: Mapping[str, float]) -> Html | None:
    if not wall_s:
        return None
    most = max(wall_s.values()) or 1.0
    rows: list[list[Child]] = [
        [stage, bar_cell(seconds / most), duration(seconds)] for stage, seconds in wall_s.items()
    ]
    columns = [text_column("stage"), text_column(""), Column("wall time")]
    return table(columns, rows, f"{duration(sum(wall_s.values()))} in all.")


def _artifact_table(run: ReportData) -> Html:
    rows: list[list[Child]] = [
        [
            ref.stage if ref.arm is None else f"{ref.stage}, {ref.arm}",
            el("code", ref.hash8),
            el("code", ref.shown_path),
        ]
        for ref in run.artifacts
    ]
    columns = [text_column("artifact"), text_column("hash"), text_column("path in the project")]
    return table(columns, rows)
