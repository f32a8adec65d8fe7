"""The commands that end with one stage; unfinished stages before it run first."""

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
from steep.cli.preview import PreviewOption, RecipeOption, show_preview
from steep.core.arms import SourceUse
from steep.core.errors import UserError
from steep.core.formatting import plural

if TYPE_CHECKING:
    from pathlib import Path

    from steep.cli.options import Opened
    from steep.config import Config
    from steep.core.artifacts import Artifact
    from steep.evaluation.results import Scores
    from steep.stages.pipeline import StageName

NEXT = {"generate": "corpus", "corpus": "tokenize", "tokenize": "train"}


def generate(
    config: ConfigOption = DEFAULT_CONFIG,
    set: SetOption = None,
    wait: Annotated[
        bool, typer.Option(help="Wait for provider batches, or collect them with a later run.")
    ] = True,
    retry_empty: Annotated[
        bool,
        typer.Option(
            "--retry-empty", help="Retry documents whose first answers gave nothing to write about."
        ),
    ] = False,
    cancel_batches: Annotated[
        bool, typer.Option("--cancel-batches", help="Only cancel the open batches of the provider.")
    ] = False,
    preview: PreviewOption = None,
    recipe: RecipeOption = None,
    json: JsonOption = False,
    yes: YesOption = False,
) -> None:
    """Generate synthetic texts about the documents into the ledger."""
    if preview is not None:
        show_preview(config, set, preview, recipe, json)
    elif recipe is not None or json:
        raise UserError(
            "--recipe and --json belong to a preview.", hint="add --preview 3, for three texts"
        )
    elif cancel_batches:
        _cancel_batches(config, set)
    else:
        _run_until(config, set, "generate", yes, wait, retry_empty)


def _cancel_batches(config: Path, overrides: list[str] | None) -> None:
    from steep.stages.generate import cancel_batches

    opened = open_project(config, overrides)
    cancelled = cancel_batches(opened.config, opened.project)
    batches = plural(cancelled, "batch")
    typer.echo(f"requested cancellation of {batches}; the next run collects finished answers")


def corpus(
    config: ConfigOption = DEFAULT_CONFIG,
    set: SetOption = None,
    json: JsonOption = False,
    yes: YesOption = False,
) -> None:
    """Filter the generated texts into clean passages, and measure their diversity."""
    _run_until(config, set, "corpus", yes, json=json)


def tokenize(
    config: ConfigOption = DEFAULT_CONFIG, set: SetOption = None, yes: YesOption = False
) -> None:
    """Tokenize the passages into shards."""
    _run_until(config, set, "tokenize", yes)


def train(
    config: ConfigOption = DEFAULT_CONFIG, set: SetOption = None, yes: YesOption = False
) -> None:
    """Continue pretraining, each arm from the base model; then tune on chats if configured."""
    _run_until(config, set, "instruct", yes)


def evaluate(
    config: ConfigOption = DEFAULT_CONFIG,
    set: SetOption = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", help="Evaluate on the first N questions only.")
    ] = None,
    rescore: Annotated[
        bool,
        typer.Option(
            "--rescore", help="Compute the scores again from stored answers; runs no model."
        ),
    ] = False,
    json: JsonOption = False,
    yes: YesOption = False,
) -> None:
    """Evaluate the base model and every arm with the configured methods, and compare them."""
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
    from steep.evaluation.setup import SCORES_NAME
    from steep.evaluation.study_results import read_scores
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
    json: bool = False,
) -> None:
    from steep.stages import pipeline

    opened = open_project(config, overrides)
    check_spending(opened, yes)
    result = pipeline.run(
        opened.config, opened.project, until=stage, wait=wait, retry_empty=retry_empty
    )
    if json:
        from steep.cli.corpus_lines import corpus_json

        typer.echo(dumps(corpus_json(result), indent=2))
        return
    made = result.trained if stage == "instruct" else getattr(result, stage)
    for artifact in made.values() if isinstance(made, dict) else [made]:
        if artifact is not None:
            typer.echo(f"{artifact.stage}: {artifact.path}{_counts(artifact)}")
    if stage == "corpus" and result.corpus is not None:
        from steep.cli.corpus_lines import print_corpus

        print_corpus(result)
    typer.echo(f"next: {command(_next(stage, opened.config), config, overrides)}")


def _counts(artifact: Artifact) -> str:
    """Return the counts of shards and trained models, to print after their path."""
    manifest = artifact.manifest
    if "steps" in manifest:
        return (
            f" ({manifest['arm']}: {manifest['steps']:,} steps, {manifest['tokens']:,.0f} tokens, "
            f"final loss {manifest['final_loss']:.4f})"
        )
    if artifact.stage == "tokenize":
        tokens = manifest["tokens"]  # of validation: one number for each set
        total = sum(tokens.values()) if isinstance(tokens, dict) else tokens
        uses = "".join(f"; {SourceUse(**each)}" for each in manifest.get("mix", ()))
        return f" ({manifest['arm']}: {total:,} tokens{uses})"
    return ""


def _next(stage: str, config: Config) -> str:
    """Return the command that comes after a stage."""
    evaluates = (
        config.evaluate.questions is not None
        or config.summaries.references is not None
        or config.forgetting.texts is not None
        or bool(config.forgetting.tasks)
        or config.faithfulness.judge is not None
    )
    return NEXT.get(stage, "evaluate" if evaluates else "run")
