"""Limits in dollars, as an owner meets them: over several runs, with and without prices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from small_project import pairs, settle
from steep_command import Steep

pytest_plugins = ["command_fixtures"]

PRICES = {"usd_per_million_input_tokens": 1.0, "usd_per_million_output_tokens": 2.0}
NO_PRICES = dict.fromkeys(PRICES)


def status(steep: Steep, project: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(steep("status", "--json", cwd=project).out)
    return found


def test_a_limit_is_kept_raised_and_lowered(project: Path, steep: Steep) -> None:
    settle(project / "steep.yaml", generate={"max_cost_usd": 0.006, "max_tokens": 100})
    first = steep("generate", cwd=project)
    assert first.code == 0, first.err
    assert "does not suffice for another call" in first.err
    spent = status(steep, project)["ledger"]["cost_usd"]
    assert 0.002 < spent <= 0.006
    settle(project / "steep.yaml", generate={"max_cost_usd": 1.0})
    assert steep("generate", cwd=project).code == 0
    whole = status(steep, project)
    assert whole["plan"]["done"] + whole["plan"]["truncated"] == whole["plan"]["planned"] == 18
    settle(project / "steep.yaml", generate={"max_cost_usd": 0.001})
    lowered = steep("corpus", cwd=project)
    assert lowered.code == 0, lowered.err
    assert "generate: done before" in lowered.err, "a limit does not change what is planned"
    settle(project / "steep.yaml", generate=pairs(6))
    over = steep("corpus", cwd=project)
    assert over.code == 0, over.err
    assert "which is over generate.max_cost_usd" in over.err
    kept = status(steep, project)
    assert (kept["plan"]["planned"], kept["plan"]["to_do"]) == (21, 3)
    assert kept["ledger"]["cost_usd"] == whole["ledger"]["cost_usd"]


def test_what_was_bought_without_a_price_counts_when_there_is_one(
    project: Path, steep: Steep
) -> None:
    settle(project / "steep.yaml", generate={**NO_PRICES, **pairs(2)})
    assert steep("generate", cwd=project).code == 0
    assert status(steep, project)["ledger"]["cost_usd"] is None
    settle(project / "steep.yaml", generate={"max_cost_usd": 0.5, **pairs(3)})
    refused = steep("generate", cwd=project)
    assert refused.code == 2
    assert "A limit in dollars needs prices" in refused.err
    settle(
        project / "steep.yaml",
        generate={**PRICES, **pairs(5), "max_cost_usd": 0.001},
    )
    late = steep("generate", cwd=project)
    assert late.code == 0, late.err
    assert "which is over generate.max_cost_usd" in late.err
    assert status(steep, project)["ledger"]["calls"] == 9, "nothing more was bought"
