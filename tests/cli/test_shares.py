"""Arms with shares of tokens, as users write them: tokens, training, status, report, a study."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_project import run_record, settle
from steep_command import Ended, Steep

pytest_plugins = ["command_fixtures"]


def done(ended: Ended) -> Ended:
    assert ended.code == 0, ended.err
    return ended


@pytest.fixture
def mixed(project: Path) -> Path:
    """A project with an arm of two prompts of one recipe and of a second recipe."""
    recipes = {
        "rephrase": {"styles": ["easy", "hard"], "samples": 4},
        "qa": {"samples": 2},
    }
    arms = {"raw": ["documents"], "mix": {"rephrase/*": 0.5, "qa": "50%"}}
    settle(
        project / "steep.yaml",
        generate={"recipes": recipes},
        train={"arms": arms},
        tokenize={"holdout": 0.1},
        scale={"tokens": [200, 400], "seeds": 1, "epochs": 1},
    )
    return project


def test_an_arm_with_shares_goes_the_whole_way(mixed: Path, steep: Steep) -> None:
    plan = json.loads(done(steep("plan", "--json", cwd=mixed)).out)
    assert [run["name"] for run in plan["training"]["sections"][0]["runs"]] == ["raw", "mix"]
    said = done(steep("run", cwd=mixed))
    assert "tokenize: mix: qa: " in said.err and "of" in said.err
    path = run_record(mixed)["artifacts"]["tokenize"]["mix"]
    status = done(steep("status", cwd=mixed)).out
    uses = json.loads((mixed / path / "manifest.json").read_text())["mix"]
    assert [each["source"] for each in uses] == ["qa", "rephrase/easy", "rephrase/hard"]
    assert [each["share"] for each in uses] == [0.5, 0.25, 0.25]
    assert f"{path} (" in status and "\n  rephrase/easy: " in status
    page = (mixed / "runs" / "default" / "report.html").read_text()
    assert "by its shares of tokens (qa " in page and "mix reads qa: " in page
    listed = done(steep("tokenize", cwd=mixed)).out
    assert "tokens; qa: " in listed

    done(steep("scale", "--point", "4", cwd=mixed))
    subsets = sorted(
        json.loads(each.read_text())["tokens"]
        for each in mixed.glob(".steep/subset-*/manifest.json")
    )
    assert [tokens >= size for size, tokens in zip((200, 400), subsets, strict=True)] == [True] * 2
    assert len(list(mixed.glob(".steep/train-*/manifest.json"))) == 3


@pytest.mark.parametrize(
    ("arm", "key", "message"),
    [
        ("{qa: -1}", "train.arms.mix.qa", "more than 0"),
        ("{qa: many}", "train.arms.mix.qa", "a number"),
        ("{}", "train.arms.mix", "at least 1"),
        ("qa", "train.arms.mix", "a list, e.g. [one, two]"),
        ("{rephras: 1}", "train.arms.mix", "did you mean 'rephrase'?"),
        ("{rephrase: 1, rephrase/easy: 1}", "train.arms.mix", "two shares for the same texts"),
        ("{rephrase/*: 1, rephrase/easy: 1}", "train.arms.mix", "two shares for the same texts"),
        ("[rephrase/easy]", "train.arms.mix", "did you mean 'rephrase'?"),
    ],
)
def test_wrong_shares_are_refused_before_anything_is_paid(
    mixed: Path, steep: Steep, arm: str, key: str, message: str
) -> None:
    ended = steep("tokenize", "--set", f"train.arms.mix={arm}", cwd=mixed)
    assert ended.code == 2 and key in ended.err and message in ended.err, ended.err
    assert not (mixed / ".steep" / "ledger.db").exists()


def test_an_arm_that_reads_an_unknown_recipe_is_named_before_anything_is_paid(
    project: Path, steep: Steep
) -> None:
    settle(project / "steep.yaml", train={"arms": {"mix": {"entigraph": 0.5, "entigraf": 0.5}}})
    ended = steep("generate", cwd=project)
    assert ended.code == 0, ended.err
    warned, _, _ = ended.err.partition("generate: ")
    assert "reads 'entigraf'" in warned and "did you mean 'entigraph'" in warned
    ended = steep("tokenize", cwd=project)
    assert ended.code == 2 and "did you mean 'entigraph'" in ended.err
