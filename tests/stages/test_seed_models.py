"""The models of arms with several seeds: names, settings, and what is compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from steep.config import Config
from steep.core.arms import arm_of, names_by_seed
from steep.core.artifacts import Project
from steep.core.errors import UserError
from steep.evaluation.config import BASE
from steep.stages import instruct
from steep.stages.evaluate import setup_of
from steep.training.config import TrainConfig
from steep.training.runs import check_training, of_model


def config(seeds: int, chats: str | None = None, **arms: list[str]) -> Config:
    train = {"arms": arms, "seed": 4, "seeds": seeds}
    tuning = {"chats": chats, "seed": 7, "arms": ["raw"] if chats else []}
    documents = {"path": "documents"}
    return Config.model_validate({"documents": documents, "train": train, "instruct": tuning})


def test_the_first_model_has_the_name_of_its_arm() -> None:
    found = config(3, raw=["documents"], own=["entigraph"]).train.models
    assert {name: (each.arm, each.seed) for name, each in found.items()} == {
        "raw": ("raw", 4), "own": ("own", 4), "raw-seed5": ("raw", 5), "own-seed5": ("own", 5),
        "raw-seed6": ("raw", 6), "own-seed6": ("own", 6),
    }  # fmt: skip
    assert [*config(1, raw=["documents"]).train.models] == ["raw"]
    names = names_by_seed("raw", 4, 3)
    assert all(arm_of(name, ["own", "raw"]) == "raw" for name in names)
    assert arm_of("raw-seed", ["raw"]) is arm_of("raw-instruct", ["raw"]) is None


def test_a_model_is_trained_with_its_seed_alone() -> None:
    settings = config(2, raw=["documents"]).train
    assert of_model(settings, {}, "raw")[0].seed == 4
    seeded, shards = of_model(settings, {}, "raw-seed5")
    assert seeded.seed == 5 and shards == {}
    assert seeded.model_copy(update={"seed": 4}) == settings


def test_a_name_that_a_later_seed_has_is_refused() -> None:
    check_training(TrainConfig(arms={"a": ("documents",), "a-seed2": ("documents",)}, seeds=2))
    with pytest.raises(UserError, match="name of another arm's model"):
        check_training(TrainConfig(arms={"a": ("documents",), "a-seed1": ("documents",)}, seeds=2))


def test_arms_are_compared_and_tuned_models_with_one_another(tmp_path: Path) -> None:
    found = config(2, "chats.jsonl", raw=["documents"], own=["entigraph"])
    assert {name: each.seed for name, each in instruct.models_of(found).items()} == {
        "raw": 7, "raw-seed5": 8,
    }  # fmt: skip
    setup = setup_of(found, Project(tmp_path))
    assert setup.seeds == {
        "raw": ("raw", "raw-seed5"),
        "own": ("own", "own-seed5"),
        "raw-instruct": ("raw-instruct", "raw-seed5-instruct"),
    }
    assert setup.arms["own-seed5"] == ("entigraph",)
    planned = setup.planned_comparisons([BASE, *setup.arms])
    assert set(planned.pairs) == {
        ("raw", BASE), ("own", BASE), ("raw-instruct", BASE), ("own", "raw"),
    }  # fmt: skip
