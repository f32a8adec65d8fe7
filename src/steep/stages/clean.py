"""What no run and not the current configuration uses any more: stale artifacts, old checkpoints.

Kept are what a run's `run.json` or the configuration names, and their inputs. Where a stage of the
configuration is not finished, it is not known what the stages after it would use, and all their
artifacts are kept. Scores go when the model that they are about has gone. Written questions, which
were paid for and perhaps reviewed, stay with their documents. The ledger is never touched.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from steep.config import Config
from steep.core.artifacts import MANIFEST, Project
from steep.core.files import disk_errors, read_json, try_lock
from steep.documents.extraction_cache import DIRECTORY_NAME as EXTRACTED
from steep.evaluation.setup import STAGE as EVALUATE
from steep.evaluation.writing.write import STAGE as QUESTIONS
from steep.scaling.comparison_results import POINTER_NAME as COMPARISON_POINTER
from steep.scaling.comparison_results import STAGE as COMPARE
from steep.scaling.config import POINTER_NAME as STUDY_POINTER
from steep.stages import instruct
from steep.stages.evaluate import POINTER_NAME
from steep.stages.finished_artifacts import MADE, look
from steep.stages.status import SHOWN

_ARTIFACT = re.compile(rf"({'|'.join(map(re.escape, SHOWN))})-[0-9a-f]{{8}}")


@dataclass(frozen=True, slots=True)
class Leftover:
    """A directory that nothing needs, its size, and why it is one."""

    path: Path
    bytes: int
    reason: str


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What may be deleted, and stages of which all is kept as the configuration is unfinished."""

    found: tuple[Leftover, ...]
    kept_stages: tuple[str, ...]


def find_leftovers(config: Config, project: Project) -> Leftovers:
    """Find stale artifacts and checkpoints; nothing is written."""
    from steep.stages.scale import names_of_study

    current, kept_stages = _current(config, project)
    current |= names_of_study(config, project)
    paid = {path.name for path in _artifacts(project) if _stage(path) == QUESTIONS}
    used = _with_inputs(project, current | paid | set(_of_runs(project)))
    stale = {
        path.name: "used by no run and not by this configuration"
        if (path / MANIFEST).is_file()
        else "left unfinished by a run with other settings"
        for path in _artifacts(project)
        if path.name not in used and (stage := _stage(path)) in MADE and stage not in kept_stages
    }
    for path in _artifacts(project):
        if path.name not in used and _stage(path) not in MADE and _has_lost(project, path, stale):
            stale[path.name] = "about a model that is stale or gone"
    found = [Leftover(project.store / name, 0, reason) for name, reason in stale.items()]
    for path in _artifacts(project):
        if path.name not in stale and (path / MANIFEST).is_file():
            found += [
                Leftover(each, 0, "a checkpoint of a finished training")
                for each in sorted(path.glob("checkpoint-*"))
            ]
    if (extracted := project.store / EXTRACTED).is_dir():
        reason = "texts of PDF, Office and web files, which are read again when needed"
        found.append(Leftover(extracted, 0, reason))
    sized = [Leftover(each.path, _size(each.path), each.reason) for each in found]
    free = [each for each in sized if not _is_held(each.path)]
    return Leftovers(tuple(sorted(free, key=lambda each: -each.bytes)), kept_stages)


def remove(leftovers: Leftovers) -> None:
    """Delete what was found.

    Raises:
        UserError: It may not be deleted.
    """
    for each in leftovers.found:
        with disk_errors(each.path):
            # Without its manifest it counts as unfinished, should this be interrupted.
            (each.path / MANIFEST).unlink(missing_ok=True)
            shutil.rmtree(each.path)


def _current(config: Config, project: Project) -> tuple[set[str], tuple[str, ...]]:
    """The artifacts that the configuration looks for, and the stages that it cannot yet name."""
    found = look(config, project)
    if len(found.reached) < MADE.index("train"):
        return found.seen, MADE[len(found.reached) :]
    unnamed = instruct.models_of(config) and len(found.trained) < len(config.train.models)
    return found.seen, ("instruct",) if unnamed else ()


def _of_runs(project: Project) -> Iterator[str]:
    """The artifacts that the records of the runs name."""
    for record in (project.root / "runs").glob("*/run.json"):
        for value in read_json(record)["artifacts"].values():
            for path in value.values() if isinstance(value, dict) else [value]:
                yield Path(path).name
    pointers = (POINTER_NAME, EVALUATE), (STUDY_POINTER, "scale"), (COMPARISON_POINTER, COMPARE)
    for name, stage in pointers:
        for pointer in (project.root / "runs").glob(f"*/{name}"):
            yield str(read_json(pointer)[stage])
    for link in (project.root / "runs").glob("*/model-*"):
        yield link.resolve().parent.name


def _with_inputs(project: Project, names: set[str]) -> set[str]:
    """These artifacts, and all that they were made from."""
    known: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in known:
            known.add(name)
            waiting += _inputs(project.store / name)
    return known


def _inputs(path: Path) -> list[str]:
    if not (path / MANIFEST).is_file():
        return []
    return [str(name) for name in read_json(path / MANIFEST)["identity"]["inputs"].values()]


def _has_lost(project: Project, path: Path, stale: dict[str, str]) -> bool:
    return any(name in stale or not (project.store / name).is_dir() for name in _inputs(path))


def _artifacts(project: Project) -> list[Path]:
    return sorted(
        path
        for path in project.store.glob("*-*")
        if path.is_dir() and not path.is_symlink() and _ARTIFACT.fullmatch(path.name)
    )


def _stage(path: Path) -> str:
    return path.name.rpartition("-")[0]


def _size(path: Path) -> int:
    return sum(each.lstat().st_size for each in path.rglob("*") if not each.is_dir())


def _is_held(path: Path) -> bool:
    """Whether a running process is filling this artifact."""
    lock = path / ".lock"
    if not lock.is_file():
        return False
    descriptor = os.open(lock, os.O_RDONLY)
    try:
        return not try_lock(descriptor, path)
    finally:
        os.close(descriptor)
