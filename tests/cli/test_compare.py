"""`steep compare` as its users run it: tokens or money, points and jobs, and what is refused."""

from __future__ import annotations

import importlib.util
import json
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fake_slurm import fake_sbatch
from small_project import settle
from steep_command import Ended, Steep, wait_until

from steep.scaling.comparison_results import POINTER_NAME
from steep.testing.tiny_corpus import DOCUMENTS

pytest_plugins = ["command_fixtures"]

LENGTH = ("--epochs", "2", "--seeds", "1")
TWO = ("compare", "--recipes", "long,short", "--tokens", "1000", *LENGTH)


@pytest.fixture
def imported(project: Path, steep: Steep) -> Path:
    """A project with the texts of two recipes that were written elsewhere; nothing is trained."""
    rows = [
        {"document_id": each.id, "recipe": recipe, "model": "m", "sample": sample,
         "text": f"{sample}. {recipe}: {each.text}"}
        for recipe, samples in (("long", 4), ("short", 1))
        for each in DOCUMENTS
        for sample in range(samples)
    ]  # fmt: skip
    (project / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settle(
        project / "steep.yaml",
        generate={"recipes": {}},
        corpus={"near_duplicates": None, "filters": {"echo": False}},  # they repeat the documents
        train={"context_tokens": 32, "batch_sequences": 2, "replay_rate": 0.1},
    )
    done(steep("import", "--generations", "texts.jsonl", cwd=project))
    return project


def done(ended: Ended) -> Ended:
    assert ended.code == 0, ended.err
    return ended


def made(project: Path, stage: str) -> list[str]:
    return sorted(path.parent.name for path in project.glob(f".steep/{stage}-*/manifest.json"))


def result(project: Path) -> dict[str, Any]:
    pointer = json.loads((project / "runs" / "default" / POINTER_NAME).read_text())
    path = project / ".steep" / pointer["compare"] / "comparison.json"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def cost_of(project: Path, recipe: str) -> float:
    """Return what the calls of a recipe have cost."""
    with closing(sqlite3.connect(project / ".steep" / "ledger.db")) as ledger:
        query = "SELECT total(cost_usd) FROM calls WHERE recipe = ?"
        (found,) = ledger.execute(query, (recipe,)).fetchone()
    return float(found)


def calls(project: Path) -> int:
    with closing(sqlite3.connect(project / ".steep" / "ledger.db")) as ledger:
        if not ledger.execute("SELECT 1 FROM sqlite_master WHERE name = 'calls'").fetchone():
            return 0
        return int(ledger.execute("SELECT count(*) FROM calls").fetchone()[0])


def test_recipes_of_equal_tokens_from_the_plan_to_the_page(imported: Path, steep: Steep) -> None:
    planned = done(steep(*TWO, "--plan", cwd=imported)).out
    assert "long" in planned and "$0.00" in planned
    assert not list((imported / ".steep").glob("*-*")), "nothing is made"

    said = done(steep(*TWO, cwd=imported))
    found = result(imported)
    texts = {each["recipe"]: each for each in found["texts"]}
    assert set(texts) == {"documents", "long", "short"}
    assert len({each["training_tokens"] for each in texts.values()}) == 1
    assert texts["long"]["tokens"] >= 500 > texts["short"]["tokens"]
    assert texts["short"]["passes"] == pytest.approx(1000 / texts["short"]["tokens"])
    assert texts["long"]["generation_usd"] is None, "imported texts have no price"
    assert texts["long"]["compression_ratio"] > texts["short"]["compression_ratio"] > 1
    assert texts["long"]["distinct_4grams"] < texts["short"]["distinct_4grams"] <= 1
    (metric,) = found["metrics"]
    scores = {each["recipe"]: each for each in metric["scores"]}
    assert scores["long"]["over_first"] is None and scores["documents"]["over_documents"] is None
    gain = scores["short"]["over_first"]
    assert gain["value"] == pytest.approx(
        scores["short"]["accuracy"]["value"] - scores["long"]["accuracy"]["value"]
    )
    (difference,) = metric["differences"]
    assert (difference["recipe"], difference["over"]) == ("short", "long")
    assert difference["points"] == gain
    shown = said.out.split("RECIPES")[1].split("page:")[0]
    assert max(map(len, shown.splitlines())) <= 80
    assert "over the first recipe, long" in " ".join(said.out.split())
    assert shown.count("standard") == 2, "the errors of accuracies, and of gains over the documents"
    page = (imported / "runs" / "default" / "comparison.html").read_text()
    assert "Recipes of run default" in page
    assert not list(imported.glob(".steep/train-*/model")), "weights are deleted once scored"

    again = done(steep(*TWO, "--json", cwd=imported))
    assert "step 1/" not in again.err, "nothing is trained again"
    assert json.loads(again.out)["metrics"] == found["metrics"]
    done(steep("clean", "--yes", cwd=imported))
    assert json.loads(done(steep(*TWO, "--result", "--json", cwd=imported)).out) == found


def test_a_killed_comparison_continues_at_its_point(imported: Path, steep: Steep) -> None:
    running = steep.start(*TWO, cwd=imported)
    wait_until(lambda: len(made(imported, "score")) >= 2)
    running.kill()
    before = {name: (imported / ".steep" / name / "manifest.json").stat().st_mtime_ns
              for name in made(imported, "train")}  # fmt: skip
    assert 1 <= len(before) < 3
    done(steep(*TWO, cwd=imported))
    after = {name: (imported / ".steep" / name / "manifest.json").stat().st_mtime_ns
             for name in made(imported, "train")}  # fmt: skip
    assert len(after) == 3 and before.items() <= after.items()
    assert result(imported)["models"] == 3 and not result(imported)["missing"]


def test_a_further_recipe_changes_no_model_of_the_others(imported: Path, steep: Steep) -> None:
    done(steep(*TWO, "--point", "2", cwd=imported))
    (model,) = made(imported, "train")
    settle(imported / "steep.yaml", generate={"recipes": {"qa": {"samples": 1}}})
    three = ("compare", "--recipes", "long,short,qa", "--tokens", "1000", *LENGTH)
    ended = done(steep(*three, "--point", "2", cwd=imported))
    assert "long@500-0 was done before" in ended.err
    assert made(imported, "train") == [model]


def test_points_and_results_of_a_part(imported: Path, steep: Steep) -> None:
    ended = steep(*TWO, "--result", cwd=imported)
    assert ended.code == 2 and "Nothing of the comparison is finished" in ended.err
    for number in (0, 1, 2):
        done(steep(*TWO, "--point", str(number), cwd=imported))
    said = " ".join(done(steep(*TWO, "--result", cwd=imported)).out.split())
    assert "1 model of the comparison are not finished: short@500-0" in said
    (metric,) = result(imported)["metrics"]
    assert metric["differences"] == []
    ended = steep(*TWO, "--point", "4", cwd=imported)
    assert ended.code == 2 and "0 (the base) to 3" in ended.err


@pytest.mark.slow
def test_a_slurm_array_makes_the_points_that_are_left(
    imported: Path, steep: Steep, tmp_path: Path
) -> None:
    variables = fake_sbatch(tmp_path / "bin")
    done(steep(*TWO, "--point", "1", cwd=imported))
    said = done(steep(*TWO, "--submit", "slurm", cwd=imported, **variables))
    assert "submitted 3 points as job 1, and the result as job 2" in said.out
    points, last = Path(variables["SBATCH_CALLS"]).read_text().splitlines()
    assert "--array=0,2,3" in points and "--dependency=afterany:1" in last
    assert result(imported)["models"] == 3 and not result(imported)["missing"]
    again = done(steep(*TWO, "--submit", "slurm", cwd=imported, **variables))
    assert "every point is finished" in again.out


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
def test_ray_tasks_make_the_models_of_a_comparison(imported: Path, steep: Steep) -> None:
    path = os.pathsep.join(sys.path)
    done(steep(*TWO, "--engine", "ray", cwd=imported, PYTHONPATH=path))
    assert result(imported)["models"] == 3 and not result(imported)["missing"]
    again = done(steep(*TWO, cwd=imported))
    assert "step 1/" not in again.err, "the artifacts are those of a run without Ray"


# ---- generated texts -----------------------------------------------------------------------------


def test_generation_stops_at_the_tokens_of_the_comparison(project: Path, steep: Steep) -> None:
    command = ("compare", "--recipes", "entigraph,qa,rephrase", "--tokens", "600", *LENGTH)
    planned = json.loads(done(steep(*command, "--plan", "--json", cwd=project)).out)
    rows = {each["recipe"]: each for each in planned["recipes"]}
    assert rows["qa"]["calls"]["expected"] > 0 and rows["qa"]["cost_usd"]["expected"] > 0
    done(steep(*command, cwd=project))
    found = {each["recipe"]: each for each in result(project)["texts"]}
    assert len({each["training_tokens"] for each in found.values()}) == 1
    for recipe in ("entigraph", "qa", "rephrase"):
        assert 0 < found[recipe]["generation_usd"] <= cost_of(project, recipe) + 1e-9
    before = calls(project)
    done(steep(*command, cwd=project))
    assert calls(project) == before, "nothing is paid twice"


def test_recipes_of_equal_cost(project: Path, steep: Steep) -> None:
    money = 0.004
    command = ("compare", "--recipes", "qa,rephrase", "--cost", str(money), *LENGTH)
    done(steep(*command, "--plan", cwd=project))
    done(steep(*command, cwd=project))
    found = {(each["recipe"], each["size"]): each for each in result(project)["texts"]}
    sizes = {recipe: size for recipe, size in found if recipe != "documents"}
    for recipe, size in sizes.items():
        assert 0 < cost_of(project, recipe) <= money, "the generation stops at the money"
        own = found[recipe, size]
        assert own["generation_usd"] == pytest.approx(cost_of(project, recipe))
        assert own["training_tokens"] == found["documents", size]["training_tokens"]
    ended = [json.loads(each.read_text())["ended"]
             for each in project.glob(".steep/spending-*/manifest.json")]  # fmt: skip
    assert ended == ["budget", "budget"], "the money, and not the plan, ends both"
    before, models = calls(project), made(project, "train")
    again = done(steep(*command, cwd=project))
    assert calls(project) == before and made(project, "train") == models
    assert "step 1/" not in again.err

    less = ("compare", "--recipes", "qa,rephrase", "--cost", str(money / 2), *LENGTH)
    whole, half = (
        json.loads(done(steep(*each, "--plan", "--json", cwd=project)).out)["recipes"][1:]
        for each in (command, less)
    )
    for all_of_it, a_part in zip(whole, half, strict=True):
        share = a_part["tokens"]["expected"] / all_of_it["tokens"]["expected"]
        assert 0.45 < share < 0.6, "half the money buys half of the texts"
    much = ("compare", "--recipes", "qa,rephrase", "--cost", "100", *LENGTH, "--plan")
    assert "less than the $100.00" in " ".join(done(steep(*much, cwd=project)).out.split())
    done(steep(*less, "--point", "0", cwd=project))
    assert calls(project) == before, "half the money is a part of the texts that are there"


def test_a_killed_generation_does_not_exceed_the_money(project: Path, steep: Steep) -> None:
    money = 0.01
    command = ("compare", "--recipes", "qa,rephrase", "--cost", str(money), *LENGTH)
    settle(project / "steep.yaml", generate={"concurrency": 1})
    running = steep.start(*command, "--point", "0", cwd=project)
    wait_until(lambda: (project / ".steep" / "ledger.db").exists() and calls(project) >= 2)
    running.kill()
    done(steep(*command, "--point", "0", cwd=project))
    assert 0 < cost_of(project, "qa") <= money and 0 < cost_of(project, "rephrase") <= money


def test_the_limit_of_the_project_still_holds(project: Path, steep: Steep) -> None:
    settle(project / "steep.yaml", generate={"max_cost_usd": 0.002})
    ended = steep("compare", "--recipes", "qa,rephrase", "--cost", "0.01", *LENGTH, cwd=project)
    assert ended.code == 2 and "ended before the money of the comparison" in ended.err
    assert cost_of(project, "qa") <= 0.002 and not made(project, "train")


def test_no_money_is_spent_where_the_cost_of_earlier_calls_is_unknown(
    project: Path, steep: Steep
) -> None:
    unpriced = ("generate.usd_per_million_output_tokens=null", "generate.max_total_tokens=2000")
    steep("generate", *(word for each in unpriced for word in ("--set", each)), cwd=project)
    before = calls(project)
    recipe = json.loads(steep("status", "--json", cwd=project).out)["plan"]
    assert before and recipe["to_do"]
    command = ("compare", "--recipes", "entigraph,rephrase", "--cost", "0.01", *LENGTH)
    ended = steep(*command, "--yes", cwd=project)
    assert ended.code == 2 and "answers without a known cost" in ended.err
    assert calls(project) == before
    assert steep(*command, "--plan", cwd=project).code == 2


# ---- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "settings", "said"),
    [
        (["--recipes", "long,shorts", "--tokens", "1000"], {}, "did you mean 'short'?"),
        (["--recipes", "long", "--tokens", "1000"], {}, "needs different recipes"),
        (["--recipes", "long,documents", "--tokens", "1000"], {}, "needs different recipes"),
        (["--recipes", "long,short"], {}, "neither of them"),
        (["--recipes", "long,short", "--tokens", "1000", "--cost", "1"], {}, "both of them"),
        (["--recipes", "long,short", "--cost", "1"], {}, "cost of imported texts is unknown"),
        (["--recipes", "qa,rephrase", "--cost", "1"],
         {"generate": {"usd_per_million_output_tokens": None}}, "none is known for this model"),
        (["--recipes", "qa,rephrase", "--cost", "1"],
         {"generate": {"engine": "embedded"}}, "This generator is free"),
        (["--recipes", "long,short", "--tokens", "1000"],
         {"evaluate": {"questions": None}}, "A comparison needs questions."),
        (["--recipes", "long,short", "--tokens", "10000000"], {}, "has too few texts"),
    ],
)  # fmt: skip
def test_a_comparison_that_cannot_be_made_is_refused(
    imported: Path, steep: Steep, arguments: list[str], settings: dict[str, Any], said: str
) -> None:
    settle(imported / "steep.yaml", **settings)
    ended = steep("compare", *arguments, cwd=imported)
    assert ended.code == 2 and said in ended.err, ended.err
    assert not made(imported, "train")
