"""The verbs that end with one stage; what comes before it is made first, unless it is done."""

from __future__ import annotations

from json import dumps
from typing import TYPE_CHECKING, Annotated

import typer

from steep.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    SetOption,
    YesOption,
    check_spending,
    command,
    open_project,
)
from steep.core.formatting import plural

if TYPE_CHECKING:
    from pathlib import Path

    from steep.cli.options import Opened
    from steep.core.artifacts import Artifact
    from steep.evaluation.scores import Scores
    from steep.stages.pipeline import StageName


def generate(
    config: ConfigOption = DEFAULT_CONFIG,
    set: SetOption = None,
    wait: Annotated[
        bool, typer.Option(help="Wait for a provider's batches; else collect them later.")
    ] = True,
    retry_empty: Annotated[
        bool,
        typer.Option(
            "--retry-empty", help="Ask again about documents that gave nothing to write about."
        ),
    ] = False,
    cancel_batches: Annotated[
        bool, typer.Option("--cancel-batches", help="Ask the provider to end open batches instead.")
    ] = False,
    yes: YesOption = False,
) -> None:
    """Write synthetic texts about the documents, into the ledger."""
    if cancel_batches:
        _cancel_batches(config, set)
    else:
        _run_until(config, set, "generate", yes, wait, retry_empty)


def _cancel_batches(config: Path, overrides: list[str] | None) -> None:
    from steep.stages.generate import cancel_batches

    opened = open_project(config, overrides)
    cancelled = cancel_batches(opened.config, opened.project)
    asked = plural(cancelled, "batch", "batches")
    typer.echo(f"asked to end {asked}; what they have answered is collected next time")


def corpus(
    config: ConfigOption = DEFAULT_CONFIG, set: SetOption = None, yes: YesOption = False
) -> None:
    """Filter the texts to clean passages."""
    _run_until(config, set, "corpus", yes)


def tokenize(
    config: ConfigOption = DEFAULT_CONFIG, set: SetOption = None, yes: YesOption = False
) -> None:
    """Turn passages into token shards."""
    _run_until(config, set, "tokenize", yes)


def train(
    config: ConfigOption = DEFAULT_CONFIG, set: SetOption = None, yes: YesOption = False
) -> None:
    """Continue pretraining, each arm from the same base; then tune on chats, if there are any."""
    _run_until(config, set, "instruct", yes)


def evaluate(
    config: ConfigOption = DEFAULT_CONFIG,
    set: SetOption = None,
    limit: Annotated[
        int | None, typer.Option(help="Ask only the first so many questions, for a first look.")
    ] = None,
    rescore: Annotated[
        bool,
        typer.Option(
            "--rescore", help="Compute tables again from kept rows; nothing is asked or loaded."
        ),
    ] = False,
    json: JsonOption = False,
    yes: YesOption = False,
) -> None:
    """Ask base and arms what is configured: closed book, open book; then compare them."""
    limited = [] if limit is None else [f"evaluate.limit={limit}"]
    overrides = [*(set or ()), *limited]
    opened = open_project(config, overrides)
    if not rescore:
        check_spending(opened, yes, evaluates=True)
    scores = _scores(opened, rescore)
    if json:
        typer.echo(dumps(scores and scores.as_json(), indent=2))
    elif scores is not None:
        from steep.cli.score_lines import print_scores

        print_scores(scores)
        typer.echo(f"next: {command('report', config, overrides)}")


def _scores(opened: Opened, rescore: bool) -> Scores | None:
    from steep.evaluation.scores import read_scores
    from steep.evaluation.setup import SCORES_NAME
    from steep.stages import evaluate, pipeline

    if rescore:
        return evaluate.rescore(opened.config, opened.project)
    made = pipeline.run(opened.config, opened.project, until="evaluate").evaluate
    return read_scores(made.path / SCORES_NAME) if made else None


def _run_until(
    config: Path,
    overrides: list[str] | None,
    stage: StageName,
    yes: bool,
    wait: bool = True,
    retry_empty: bool = False,
) -> None:
    from steep.cli.next_lines import counts_of, next_verb
    from steep.stages import pipeline

    opened = open_project(config, overrides)
    check_spending(opened, yes)
    result = pipeline.run(
        opened.config, opened.project, until=stage, wait=wait, retry_empty=retry_empty
    )
    made = result.trained if stage == "instruct" else getattr(result, stage)
    for artifact in made.values() if isinstance(made, dict) else [made]:
        if artifact is not None:
            typer.echo(f"{artifact.stage}: {artifact.path}{counts_of(artifact)}")
    if stage == "corpus" and result.corpus is not None:
        _print_totals(result.corpus)
    typer.echo(f"next: {command(next_verb(stage, opened.config), config, overrides)}")


def _print_totals(corpus: Artifact) -> None:
    from steep.stages.corpus import totals_of

    total, *recipes = totals_of(corpus)
    typer.echo(f"  {total}")
    for line in recipes:
        typer.echo(f"    {line}")
