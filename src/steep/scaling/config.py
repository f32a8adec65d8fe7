"""Settings of the scaling study."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from steep.core.config import Section, operational

POINTER_NAME = "scaled.json"  # in the run's directory: the name of its latest study


class ScaleConfig(Section):
    """Arms trained on nested subsets of their texts, to see how accuracy grows with tokens."""

    arms: tuple[str, ...] = Field(
        (),
        description="arms of train.arms in the study; empty: all. Arms that read only documents "
        "are trained on all of them, for as many tokens as the others",
    )
    tokens: tuple[PositiveInt, ...] = Field(
        (), description="sizes of the subsets in tokens; empty: log-spaced, as below"
    )
    points: int = Field(6, ge=2, description="number of log-spaced sizes, the last one all texts")
    smallest: float = Field(
        0.01, gt=0, lt=1, description="the first log-spaced size, as a share of all texts"
    )
    seeds: int = Field(3, ge=1, description="models per arm and size, from train.seed on")
    epochs: float = Field(2.0, gt=0, description="passes over each subset; paper: 2")
    targets: tuple[float, ...] = Field(
        (), description="accuracies (0.6 for 60%) whose tokens are extrapolated"
    )
    slurm_options: tuple[str, ...] = operational(
        (), description="of sbatch, for every job, e.g. --partition=gpu, --gres=gpu:1"
    )
    ray_cpus: float = operational(
        1.0,
        gt=0,
        description="CPUs of each point as a Ray task; it has a GPU, too, if there are any",
    )
    delete_weights: bool = operational(
        False, description="delete the weights of each model once it is evaluated"
    )
