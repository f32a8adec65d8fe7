"""`steep status`: what is done, what is to do, and what it has cost; the totals add up."""

from __future__ import annotations

from typing import Any

import typer

from steep.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, SetOption, load_project


def status(
    config: ConfigOption = DEFAULT_CONFIG, set: SetOption = None, json: JsonOption = False
) -> None:
    """Show the plan's totals, the ledger's spending and the finished artifacts; writes nothing."""
    from steep.stages.status import status_of

    found = status_of(*load_project(config, set))
    if json:
        import json as json_module

        typer.echo(json_module.dumps(found, indent=2))
        return
    for line in _lines(found):
        typer.echo(line)


def _lines(found: dict[str, Any]) -> list[str]:
    lines = []
    if counts := found["plan"]:
        ended = [f"{number} {name.replace('_', ' ')}" for name, number in counts.items()]
        lines.append(f"plan: {ended[0]} = {' + '.join(ended[1:])}")
    if found["unopened"]:
        lines.append(f"  more will follow: {found['unopened']} documents still lack their entities")
    lines += [f"  failed {each['calls']} x: {each['reason']}" for each in found["failures"]]
    ledger, usage = found["ledger"], found["ledger"]["usage"]
    cost = "unknown" if ledger["cost_usd"] is None else f"${ledger['cost_usd']:.2f}"
    lines.append(
        f"ledger: {ledger['calls']} calls, {usage['prompt_tokens']:,} tokens in"
        f" ({usage['cached_tokens']:,} cached), {usage['completion_tokens']:,} out, cost {cost};"
        f" {ledger['imported']} imported texts"
    )
    for each in found["artifacts"]:
        label = f"{each['stage']} {each['arm']}" if each["arm"] else each["stage"]
        lines.append(f"{label}: {each['path']}")
    return lines
