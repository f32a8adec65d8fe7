"""`steep plan` spends nothing unless it is told to, and says what everything will cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_project import pairs, settle
from steep_command import Steep

from steep.testing.scripted_server import ScriptedServer

pytest_plugins = ["command_fixtures"]

GOLDEN = Path(__file__).parent / "golden"
AWAY = "https://api.openai.com/v1"


def listing(folder: Path) -> dict[str, float]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def of_generation(out: str) -> str:
    """What stands before the training."""
    return out.partition("\n\ntraining: ")[0] + "\n"


def plan_json(steep: Steep, project: Path, *more: str) -> dict[str, Any]:
    ended = steep("plan", "--json", *more, cwd=project)
    assert ended.code == 0, ended.err
    found: dict[str, Any] = json.loads(ended.out)
    return found


def done(document: dict[str, Any]) -> int:
    return sum(step["done"] for step in document["steps"])


@pytest.fixture
def away(project: Path) -> Path:
    """A project whose documents would leave this machine."""
    prices = {"usd_per_million_cached_tokens": 0.25}
    settle(
        project / "steep.yaml",
        generate={
            "base_url": AWAY,
            **pairs(5, 2),
            **prices,
        },
    )
    return project


def test_the_plan_of_the_tiny_corpus(away: Path, steep: Steep) -> None:
    before = listing(away)
    ended = steep("plan", "--rate", "50", cwd=away)
    assert ended.code == 0, ended.err
    assert of_generation(ended.out) == (GOLDEN / "plan.txt").read_text()
    assert ended.err == ""
    assert listing(away) == before


def test_a_target_cuts_the_plan(away: Path, steep: Steep) -> None:
    ended = steep("plan", "--set", "generate.target_tokens=2000", cwd=away)
    assert ended.code == 0, ended.err
    assert of_generation(ended.out) == (GOLDEN / "plan_with_target.txt").read_text()


def test_rows_add_up_to_the_total(project: Path, steep: Steep) -> None:
    found = plan_json(steep, project)
    for column in ("calls", "prompt_tokens", "cached_tokens", "completion_tokens", "cost_usd"):
        for end in ("low", "expected", "high"):
            total = pytest.approx(found["to_do"][column][end], rel=1e-9)
            for rows in (found["documents"], found["steps"]):
                assert sum(row["to_do"][column][end] for row in rows) == total, (column, end)
    assert found["sent"] == [row["document_id"] for row in found["documents"]]
    assert [host["leaves"] for host in found["hosts"]] == [False]


def test_an_unknown_price_says_unknown(project: Path, steep: Steep) -> None:
    unknown = ["--set", "generate.usd_per_million_output_tokens=null"]
    out = steep("plan", *unknown, cwd=project).out
    assert "price unknown" in out
    assert "cost        unknown: set generate.usd_per_million_input_tokens" in out
    assert out.count("unknown") >= 1 + 4  # the host, three documents and their total
    assert plan_json(steep, project, *unknown)["to_do"]["cost_usd"] is None


def test_only_the_first_documents_are_listed(project: Path, steep: Steep) -> None:
    for number in range(30):
        path = project / "documents" / f"more{number:02d}.md"
        path.write_text(f"# Title {number}\n\nThe Quillon Ferry carries load {number}.\n")
    lines = steep("plan", cwd=project).out.splitlines()
    table = lines[next(n for n, line in enumerate(lines) if line.startswith("document ")) :]
    assert table.index("13 more") == table.index("(--json shows every document)") - 2
    assert table[22].startswith("total")
    assert len(plan_json(steep, project)["documents"]) == 33


def test_a_probe_is_paid_for_once_and_refines_the_plan(
    project: Path, steep: Steep, server: ScriptedServer
) -> None:
    guessed = plan_json(steep, project)
    ended = steep("plan", "--probe", "2", "--json", cwd=project)
    assert ended.code == 0, ended.err
    refined = json.loads(ended.out)
    announced, *listed = [line for line in ended.err.splitlines() if "documents:" not in line]
    assert announced.startswith("plan: probe: up to 4 calls of each step of entigraph about 2 doc")
    assert "nothing leaves this machine; at most $0." in announced
    bound_usd = float(announced.rpartition("$")[2])
    assert [line.split(",")[0].strip() for line in listed[:2]] == ["pell", "quillon"]
    assert 0 < refined["completed"]["cost_usd"] <= bound_usd
    assert [row["exact"] for row in refined["documents"]] == [False, True, True]
    assert [done(row) for row in refined["documents"]] == [0, 5, 5]
    assert (guessed["measured_calls"], refined["measured_calls"]) == (0, 10)
    assert refined["tokens_per_s"] > 0
    low, high = (refined["to_do"]["prompt_tokens"][end] for end in ("low", "high"))
    assert high - low < 0.5 * (
        guessed["to_do"]["prompt_tokens"]["high"] - guessed["to_do"]["prompt_tokens"]["low"]
    )
    assert steep("generate", cwd=project).code == 0
    after = plan_json(steep, project)
    assert after["to_do"]["calls"]["high"] == 0
    assert sum(map(done, after["documents"])) == 3 * (1 + 5)
    status = json.loads(steep("status", "--json", cwd=project).out)
    assert status["ledger"]["calls"] == 3 * (1 + 5)  # the probe was not paid for again


def test_a_probe_says_where_documents_go_before_they_do(away: Path, steep: Steep) -> None:
    """Nobody answers there in a test; what is announced comes before that shows."""
    nowhere = "http://127.0.0.2:9/v1"
    settle(away / "steep.yaml", generate={"max_attempts": 1, "salvage_rounds": 0})
    ended = steep("plan", "--probe", "1", "--set", f"generate.base_url={nowhere}", cwd=away)
    assert "plan: probe: up to 4 calls of each step" in ended.err
    assert ended.code == 2


def test_a_probe_measures_every_step(project: Path, steep: Steep) -> None:
    settle(project / "steep.yaml", generate={**pairs(5, 5)})
    ended = steep("plan", "--probe", "1", cwd=project)
    assert ended.code == 0, ended.err
    assert "plan: probe: 9 planned, 9 done\n" in ended.err
    basis = "pairs measured on 4 calls, triplets measured on 4 calls; entities guessed"
    assert basis in " ".join(ended.out.split())
    assert steep("generate", cwd=project).code == 0
    status = json.loads(steep("status", "--json", cwd=project).out)
    assert status["ledger"]["calls"] == 3 * (1 + 5 + 5)  # the probe was not paid for again


def test_money_spent_under_another_plan_counts(project: Path, steep: Steep) -> None:
    assert steep("generate", cwd=project).code == 0
    other = [
        "--set",
        "generate.recipes.entigraph.prompt_order=paper",
        "--set",
        "generate.max_cost_usd=0.03",
    ]
    out = steep("plan", *other, cwd=project).out
    spent = json.loads(steep("plan", "--json", cwd=project).out)["completed"]["cost_usd"]
    assert f"limit: $0.0300, ${spent:.4f} spent, ${0.03 - spent:.4f} left" in out
    assert "completed: 0 calls" in out
    assert f"  in the whole project, including other plans: 18 calls, cost ${spent:.4f}" in out


def test_a_limit_a_minute_gives_the_least_time(project: Path, steep: Steep) -> None:
    out = steep("plan", "--set", "generate.requests_per_minute=1", cwd=project).out
    assert "time        at least 18 min" in out


def test_a_target_is_reached_as_planned(project: Path, steep: Steep) -> None:
    settle(
        project / "steep.yaml",
        generate={**pairs("all", "all")},
    )
    goal = ["--set", "generate.target_tokens=6000"]
    assert steep("plan", "--probe", "3", *goal, cwd=project).code == 0
    before = plan_json(steep, project, *goal)
    assert before["to_do"]["completion_tokens"]["expected"] == pytest.approx(
        6000 - before["completed"]["written"]["entigraph"], rel=0.01
    )
    assert steep("generate", *goal, cwd=project).code == 0
    after = plan_json(steep, project, *goal)
    assert after["to_do"]["calls"]["high"] == 0
    made = sum(map(done, after["documents"])) - sum(map(done, before["documents"]))
    assert made == pytest.approx(before["to_do"]["calls"]["expected"], rel=0.2)
    assert 6000 <= after["completed"]["written"]["entigraph"] <= 6000 + 4 * 150
    assert after["completed"]["to_do"] == 0
    status = steep("status", *goal, cwd=project).out
    assert "beyond the target are not needed" in status
    again = steep("generate", *goal, cwd=project)
    assert again.code == 0 and "generate: done before" in again.err


def test_without_a_recipe_and_arms_there_is_nothing_to_plan(project: Path, steep: Steep) -> None:
    nothing = ["--set", "generate.recipes={}", "--set", "train.arms={}"]
    ended = steep("plan", *nothing, cwd=project)
    assert ended.code == 2
    assert "There is nothing to plan." in ended.err


def test_a_limit_in_dollars_needs_prices(project: Path, steep: Steep) -> None:
    free = ["--set", "generate.usd_per_million_input_tokens=null"]
    ended = steep("plan", "--set", "generate.max_cost_usd=5", *free, cwd=project)
    assert ended.code == 2
    assert "generate.usd_per_million_output_tokens" in ended.err
