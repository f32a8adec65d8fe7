"""`steep scale` as its users run it: the plan, a whole study, its jobs, and what goes wrong."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_slurm import fake_sbatch
from small_project import settle
from steep_command import Ended, Steep, wait_until

from steep.scaling.config import POINTER_NAME
from steep.testing.tiny_corpus import DOCUMENTS

pytest_plugins = ["command_fixtures"]

SIZES = [100, 200, 400]
POINTS = 2 * len(SIZES)


@pytest.fixture
def study(project: Path, steep: Steep) -> Path:
    """A project with texts that were written elsewhere; nothing is trained."""
    rows = [
        {"document_id": each.id, "recipe": "written", "model": "m", "sample": sample,
         "text": f"{sample}. {each.text}"}
        for each in DOCUMENTS
        for sample in range(4)
    ]  # fmt: skip
    (project / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settle(
        project / "steep.yaml",
        generate={"recipes": {}},
        corpus={"near_duplicates": None, "filters": {"echo": False}},  # they repeat the documents
        train={
            "arms": {"raw": ["documents"], "written": ["written"]},
            "context_tokens": 32, "batch_sequences": 2, "replay_rate": 0.1,
        },
        forgetting={"texts": "builtin", "context_tokens": 64},
        open_book={"chunk_characters": [200], "oracle": False},
        scale={"tokens": SIZES, "seeds": 1, "epochs": 1, "targets": [0.9]},
    )  # fmt: skip
    done(steep("import", "--generations", "texts.jsonl", cwd=project))
    return project


def done(ended: Ended) -> Ended:
    assert ended.code == 0, ended.err
    return ended


def made(project: Path, stage: str) -> list[str]:
    return sorted(path.parent.name for path in project.glob(f".steep/{stage}-*/manifest.json"))


def result(project: Path) -> dict[str, Any]:
    pointer = json.loads((project / "runs" / "default" / POINTER_NAME).read_text())
    found: dict[str, Any] = json.loads(
        (project / ".steep" / pointer["scale"] / "study.json").read_text()
    )
    return found


def measured(project: Path) -> dict[str, Any]:
    """What a study found, without the time that it took."""
    found = result(project)
    return {name: found[name] for name in ("models", "missing", "metrics", "forgotten")}


def test_a_study_from_its_plan_to_its_page(study: Path, steep: Steep) -> None:
    settle(study / "steep.yaml", scale={"delete_weights": True})
    planned = done(steep("scale", "--plan", cwd=study)).out
    assert f"to do: {POINTS} of {POINTS} models" in planned and "weights are deleted" in planned
    assert [path.name for path in (study / ".steep").glob("*-*")] == [], "nothing is made"
    priced = done(steep("scale", "--plan", "--gpus", "1xH100", "--json", cwd=study)).out
    assert [size["models"] for size in json.loads(priced)["sizes"]] == [2] * len(SIZES)

    said = done(steep("scale", cwd=study))
    found = result(study)
    (metric,) = found["metrics"]
    curves = {curve["arm"]: curve for curve in metric["curves"]}
    assert found["models"] == POINTS and not found["missing"]
    assert curves["raw"]["matched"] and not curves["written"]["matched"]
    for raw, written in zip(curves["raw"]["sizes"], curves["written"]["sizes"], strict=True):
        assert raw["training_tokens"] == written["training_tokens"]
    assert [size["tokens"] for size in curves["written"]["sizes"]] == SIZES
    subsets = [
        json.loads(path.read_text())["tokens"]
        for path in study.glob(".steep/subset-*/manifest.json")
    ]
    assert all(size <= tokens for size, tokens in zip(SIZES, sorted(subsets), strict=True))
    (gains,) = metric["gains"]
    assert [gain["over"] for gain in gains["gains"]] == ["base", "retrieval", "raw"]
    assert {row["arm"] for row in found["forgotten"]} == {"raw", "written"}
    assert "no line is drawn. The questions are about 3 documents" in said.out.replace("\n", " ")
    assert "better than retrieval?" in said.out
    page = (study / "runs" / "default" / "scaling.html").read_text()
    assert "<svg" in page and "Accuracy by tokens" in page

    assert not list(study.glob(".steep/train-*/model")), "weights are deleted once scored"
    again = done(steep("scale", cwd=study))
    assert again.out.split("ACCURACY")[1] == said.out.split("ACCURACY")[1]
    assert "step 1/" not in again.err, "nothing is trained again"

    larger = done(steep("scale", "--plan", "--set", "scale.tokens=[150,400]", cwd=study)).out
    assert "4 trained models of an earlier study cannot be used" in " ".join(larger.split())
    settle(study / "steep.yaml", train={"learning_rate": 2e-3})
    planned = " ".join(done(steep("scale", "--plan", cwd=study)).out.split())
    assert f"{POINTS} trained models of an earlier study cannot be used" in planned
    assert "train.learning_rate 0.001 -> 0.002" in planned
    ended = steep("scale", "--fit", cwd=study)
    assert ended.code == 2 and "No point of the study is finished" in ended.err


def test_a_study_with_missing_points_is_not_fitted(study: Path, steep: Steep) -> None:
    ended = steep("scale", "--fit", cwd=study)
    assert ended.code == 2 and "Nothing of the study is finished" in ended.err
    assert not made(study, "tokenize"), "fitting makes nothing"
    done(steep("tokenize", cwd=study))
    ended = steep("scale", "--fit", cwd=study)
    assert ended.code == 2 and "The base of the study has not been evaluated" in ended.err
    for number in (0, 2):
        done(steep("scale", "--point", str(number), cwd=study))
    said = " ".join(done(steep("scale", "--fit", cwd=study)).out.split())
    assert f"{POINTS - 1} models of the study are not finished: raw@100-0, raw@200-0" in said
    assert "written: no line is drawn. 2 of 3 models are not finished" in said
    assert "better than retrieval?" not in said
    ended = steep("scale", "--point", str(POINTS + 1), cwd=study)
    assert ended.code == 2 and f"0 (the base) to {POINTS}" in ended.err


def test_a_killed_study_continues_at_its_point(study: Path, steep: Steep) -> None:
    settle(study / "steep.yaml", scale={"tokens": SIZES[:2]})
    running = steep.start("scale", cwd=study)
    wait_until(lambda: len(made(study, "score")) >= 3)
    running.kill()
    before = stamps(study)
    assert 1 <= len(before) < 4
    done(steep("scale", cwd=study))
    assert len(made(study, "train")) == 4
    assert before.items() <= stamps(study).items(), "finished models are not trained again"
    continued = measured(study)
    for stage in ("train", "score", "general-loss"):
        for name in made(study, stage):
            shutil.rmtree(study / ".steep" / name)
    done(steep("scale", cwd=study))
    assert measured(study) == continued, "the same as of an uninterrupted study"


def stamps(project: Path) -> dict[str, int]:
    """When each model was finished."""
    folder = project / ".steep"
    return {name: (folder / name / "manifest.json").stat().st_mtime_ns
            for name in made(project, "train")}  # fmt: skip


def test_deleted_weights_are_made_again_for_other_questions(study: Path, steep: Steep) -> None:
    settle(study / "steep.yaml", scale={"delete_weights": True})
    done(steep("scale", "--point", "1", cwd=study))
    again = done(steep("scale", "--point", "1", cwd=study))
    assert "raw@100-0 was done before" in again.err
    settle(study / "steep.yaml", evaluate={"limit": 3})
    other = done(steep("scale", "--point", "1", cwd=study))
    assert "raw@100-0 is trained again, as its weights were deleted" in other.err
    assert len(made(study, "train")) == 1 and len(made(study, "score")) == 2
    assert not list(study.glob(".steep/train-*/model"))


def test_clean_keeps_the_models_of_a_study(study: Path, steep: Steep) -> None:
    done(steep("scale", "--point", "2", cwd=study))
    done(steep("tokenize", cwd=study))
    models = made(study, "train"), made(study, "subset")
    assert len(models[0]) == 1 and len(models[1]) == len(SIZES)
    done(steep("clean", "--yes", cwd=study))
    assert (made(study, "train"), made(study, "subset")) == models
    settle(study / "steep.yaml", scale={"tokens": [150, 10**9]})
    done(steep("clean", "--yes", cwd=study))
    assert (made(study, "train"), made(study, "subset")) == models, "kept if settings are wrong"
    settle(study / "steep.yaml", scale={"tokens": [150, 300]})
    done(steep("clean", "--yes", cwd=study))
    assert not made(study, "train"), "they belong to no study any more"


# ---- jobs ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_slurm_array_makes_the_points_that_are_left(
    study: Path, steep: Steep, tmp_path: Path
) -> None:
    settle(study / "steep.yaml", scale={"tokens": [100], "slurm_options": ["--gres=gpu:1"]})
    done(steep("scale", "--point", "1", cwd=study))
    variables = fake_sbatch(tmp_path / "bin")
    said = done(steep("scale", "--submit", "slurm", cwd=study, **variables))
    assert "submitted 2 points as job 1, and the fits as job 2" in said.out
    points, fits = Path(variables["SBATCH_CALLS"]).read_text().splitlines()
    assert "--array=0,2" in points and "--gres=gpu:1" in points
    assert "--dependency=afterany:1" in fits and "--array" not in fits
    assert result(study)["models"] == 2 and not result(study)["missing"]
    again = done(steep("scale", "--submit", "slurm", cwd=study, **variables))
    assert "every point is finished" in again.out


def test_without_slurm_the_error_says_what_is_missing(study: Path, steep: Steep) -> None:
    ended = steep("scale", "--submit", "slurm", cwd=study, PATH="/nowhere")
    assert ended.code == 2 and "sbatch" in ended.err and "login node" in ended.err


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
def test_ray_tasks_make_the_same_artifacts(study: Path, steep: Steep) -> None:
    settle(study / "steep.yaml", scale={"tokens": [100]})
    path = os.pathsep.join(sys.path)
    done(steep("scale", "--engine", "ray", cwd=study, PYTHONPATH=path))
    names, found = made(study, "train"), measured(study)
    assert len(names) == 2
    for each in study.glob(".steep/train-*/manifest.json"):
        each.unlink()
    done(steep("scale", cwd=study))
    assert made(study, "train") == names and measured(study) == found


# ---- settings that cannot be run -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"scale": {"arms": ["other"]}}, "There is no arm 'other' to scale."),
        ({"scale": {"arms": ["raw"]}}, "No arm of the study reads synthetic texts."),
        ({"scale": {"tokens": [10_000_000]}}, "The texts of the arm 'written' are fewer"),
        ({"evaluate": {"questions": None}}, "A scaling study needs questions."),
        ({"scale": {"epochs": 0}}, "scale.epochs"),
    ],
)
def test_a_study_that_cannot_be_run_is_refused(
    study: Path, steep: Steep, settings: dict[str, Any], said: str
) -> None:
    settle(study / "steep.yaml", **settings)
    ended = steep("scale", cwd=study)
    assert ended.code == 2 and said in ended.err, ended.err
    assert not made(study, "train")
