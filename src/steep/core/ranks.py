"""The rank of this process, from the environment of its launcher, without importing torch."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from steep.core.errors import UserError

NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
SLURM_PORTS = 20_000  # ranks of a Slurm job meet at this port plus its number


def place_of(environment: Mapping[str, str]) -> dict[str, str] | None:
    """Return the rank's torchrun variables, also under `srun`; None for a single process.

    Raises:
        UserError: Only some of the variables are set.
    """
    if environment.get("WORLD_SIZE", "1") != "1":
        if missing := [name for name in NAMES if not environment.get(name)]:
            raise UserError(
                "This process is told of other ranks, but not how to find them.",
                where="the environment",
                expected=", ".join(NAMES),
                found=f"no {', '.join(missing)}",
                hint="start it by torchrun or srun",
            )
        return {name: environment[name] for name in NAMES}
    if int(environment.get("SLURM_STEP_NUM_TASKS", "1")) > 1:  # srun sets it, sbatch does not
        return {
            "RANK": environment["SLURM_PROCID"],
            "WORLD_SIZE": environment["SLURM_STEP_NUM_TASKS"],
            "LOCAL_RANK": environment["SLURM_LOCALID"],
            "MASTER_ADDR": environment.get("MASTER_ADDR")
            or _first_host(environment["SLURM_STEP_NODELIST"]),
            "MASTER_PORT": environment.get("MASTER_PORT")
            or str(SLURM_PORTS + int(environment["SLURM_JOB_ID"]) % SLURM_PORTS),
        }
    return None


def gpu_of(environment: Mapping[str, str], local_rank: int, gpus: int) -> int:
    """Return the number of the GPU of a rank, among those that its process sees.

    With `srun --gpus-per-task=1`, each process sees its own GPU only.
    """
    tasks = int(environment.get("SLURM_STEP_NUM_TASKS", "1"))
    by_srun = tasks > 1 and "TORCHELASTIC_RUN_ID" not in environment  # torchrun sets this one
    return 0 if by_srun and gpus == 1 else local_rank


def ranks() -> int:
    """Return the number of ranks."""
    place = place_of(os.environ)
    return int(place["WORLD_SIZE"]) if place else 1


def is_main_rank() -> bool:
    """Return whether this process writes the files that only one rank writes."""
    place = place_of(os.environ)
    return place is None or place["RANK"] == "0"


def _first_host(hosts: str) -> str:
    """Return the first host of a Slurm list: node[03-05,9],other -> node03."""
    found = re.match(r"([^,\[]+)(?:\[([^\],-]+))?", hosts)
    assert found, hosts
    return found[1] + (found[2] or "")
