"""`steep run`: all stages, the results and the report; `steep report`: the report alone."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from steep.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    Opened,
    SetOption,
    YesOption,
    check_spending,
    load_project,
    open_project,
)
from steep.core.tables import wrap_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from steep.stages.pipeline import PipelineRun


def run(
    config: ConfigOption = DEFAULT_CONFIG,
    set: SetOption = None,
    json: JsonOption = False,
    yes: YesOption = False,
) -> None:
    """Run every stage: documents, generate, corpus, tokenize, train, evaluate, report."""
    opened = open_project(config, set)
    check_spending(opened, yes, evaluates=True)
    run_all(opened, json)


def report(
    config: ConfigOption = DEFAULT_CONFIG,
    set: SetOption = None,
    json: JsonOption = False,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Write the page of the last run to this file, and nothing into the project, "
            "which may be read-only."
        ),
    ] = None,
) -> None:
    """Write the report of a finished run again. Generates, trains and evaluates nothing."""
    if output is not None:
        from steep.stages.pipeline import write_page

        opened = load_project(config, set)
        write_page(opened.config, opened.project, output)
        typer.echo(f"report: {output}")
        return
    _check_writable(config.resolve().parent)
    config_, project = open_project(config, set)
    run_all(Opened(config_, replace(project, finished_only=True)), json)


def _check_writable(root: Path) -> None:
    from steep.core.errors import UserError

    if root.is_dir() and not os.access(root, os.W_OK):
        raise UserError(
            "The project is read-only, so the report cannot be written into it.",
            where=root,
            hint="steep report --output FILE writes the page of the last run to another place",
        )


def run_all(opened: Opened, as_json: bool) -> None:
    """Run the pipeline and print its results."""
    from steep.evaluation.setup import SCORES_NAME
    from steep.evaluation.study_results import read_scores
    from steep.stages import pipeline

    result = pipeline.run(opened.config, opened.project)
    scores = read_scores(result.evaluate.path / SCORES_NAME) if result.evaluate else None
    if as_json:
        from json import dumps

        found = {"report": str(result.report), "scores": scores and scores.as_json()}
        typer.echo(dumps(found, indent=2))
        return
    _print_counts(result)
    if scores:
        from steep.cli.score_lines import print_headline, print_scores

        print_scores(scores)
        print_headline(scores)
    typer.echo(f"report: {result.report}")


def _print_counts(result: PipelineRun) -> None:
    if result.generate:
        counts = result.generate.manifest["counts"]
        ended = {name: number for name, number in counts.items() if name != "planned" and number}
        typer.echo(wrap_text(f"\ncalls: {counts['planned']} planned = {_sum(ended)}"))
    if result.corpus:
        counts, rejected = (result.corpus.manifest[key] for key in ("counts", "rejected"))
        line = (
            f"corpus: {counts['candidates']} texts = {counts['passages']} passages"
            f" + {counts['rejected']} rejected" + (f" ({_sum(rejected)})" if rejected else "")
        )
        typer.echo(wrap_text(line))


def _sum(counts: Mapping[str, int]) -> str:
    parts = (f"{number} {name.replace('_', ' ')}" for name, number in counts.items())
    return " + ".join(parts) or "0"
