"""The corpus for a terminal and for scripts: its totals, and the diversity of its texts."""

from __future__ import annotations

from typing import Any

import typer

from steep.cli.score_lines import print_blocks
from steep.corpus.diversity_result import as_json, read_diversity
from steep.report.sections.diversity import diversity
from steep.stages.corpus import totals_of
from steep.stages.pipeline import PipelineRun


def print_corpus(run: PipelineRun) -> None:
    """Print the totals of a corpus and the tables of its diversity."""
    if run.corpus is None:
        return
    total, *recipes = totals_of(run.corpus)
    typer.echo(f"  {total}")
    for line in recipes:
        typer.echo(f"    {line}")
    if run.diversity is not None:
        print_blocks([diversity(read_diversity(run.diversity.path))])
        typer.echo()


def corpus_json(run: PipelineRun) -> dict[str, Any]:
    """Return the totals of a corpus and its diversity as plain data."""
    if run.corpus is None:
        return {}
    names = ("counts", "by_recipe", "rejected", "rejected_by_recipe", "imported")
    totals = {name: run.corpus.manifest[name] for name in names}
    measured = read_diversity(run.diversity.path) if run.diversity else []
    return {"path": str(run.corpus.path), **totals, "diversity": as_json(measured)}
