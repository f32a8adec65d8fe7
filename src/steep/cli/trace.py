"""`steep trace`: from a training token, or a text, to the documents and the call behind it.

    steep trace --arm entigraph --token 123456   # a token of the arm's shard
    steep trace --text "pulls the ferry along"   # passages of the corpus with these words
    steep trace --arm replay --token 0           # a token of the general text

Nothing is written, and no model is asked. `--json` prints everything.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from steep.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, SetOption, load_project
from steep.core.tables import wrap_text

ArmOption = Annotated[
    str | None, typer.Option("--arm", help="The arm whose shard is meant; or 'replay'.")
]
TokenOption = Annotated[
    int | None, typer.Option("--token", metavar="N", min=0, help="Position in the shard, from 0.")
]
TextOption = Annotated[
    str | None,
    typer.Option("--text", help="Find passages by their words; case and spaces do not matter."),
]
FullOption = Annotated[
    bool, typer.Option("--full", help="Show the whole prompt and text, not only a part.")
]
LimitOption = Annotated[int, typer.Option("--limit", min=1, help="Maximum passages for --text.")]


def trace(
    arm: ArmOption = None,
    token: TokenOption = None,
    text: TextOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    set: SetOption = None,
    full: FullOption = False,
    limit: LimitOption = 3,
    json: JsonOption = False,
) -> None:
    """Show where a training token or a text comes from: passage, documents, prompt, cost."""
    from dataclasses import asdict
    from json import dumps

    from steep.cli import trace_lines
    from steep.stages import trace as stage

    _check(arm, token, text)
    opened, project = load_project(config, set)
    found: stage.TokenTrace | stage.TextTraces
    if text is not None:
        found = stage.trace_text(opened, project, text, arm, limit)
        lines = trace_lines.of_text(found, full)
    else:
        assert arm is not None and token is not None
        found = stage.trace_token(opened, project, arm, token)
        lines = trace_lines.of_token(found, full)
    if json:
        typer.echo(dumps(asdict(found), indent=2, ensure_ascii=False))
        return
    for line in lines:
        typer.echo(wrap_text(line) if sys.stdout.isatty() else line)


def _check(arm: str | None, token: int | None, text: str | None) -> None:
    from steep.core.errors import UserError

    if (token is None) == (text is None) or (token is not None and arm is None):
        raise UserError(
            "It is not clear what to trace.",
            expected="--arm NAME --token N, or --text TEXT",
            found=" ".join(
                f"--{name} {value}"
                for name, value in (("arm", arm), ("token", token), ("text", text))
                if value is not None
            )
            or "neither",
        )
