"""Artifacts: what a stage has computed, in one directory each, found again by its identity.

A project is the directory of its `steep.yaml`. `.steep/ledger.db` holds every call,
`.steep/<stage>-<hash8>/` one artifact, complete when its `manifest.json` exists, and `runs/<name>/`
what a person opens.

The identity of an artifact is a table: the version of the stage, exactly the configuration fields
that change its data, and the identities of its inputs. Its hash names the directory, so a rerun
finds the artifact, and a changed field makes a new directory beside the old one. Nothing is
deleted.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steep import __version__
from steep.core.errors import UserError
from steep.core.files import disk_errors, read_json, try_lock, write_json
from steep.core.formatting import duration
from steep.core.ids import stable_hash
from steep.core.ranks import is_main_rank, ranks
from steep.core.work_time import work_time

log = logging.getLogger("steep")

MANIFEST = "manifest.json"
# Stages that take seconds, from what is there.
CHEAP = ("documents", "corpus", "diversity", "contamination", "evaluate", "scale", "compare")
WORK_TIME = ".seconds"  # of the runs so far, in the directory of an unfinished artifact
MOST_ROLES = 3  # that a line names
MOST_SHOWN = 60  # characters of a value that has changed
_DIGEST = re.compile(r"[0-9a-f]{8,}")


@dataclass(frozen=True, slots=True)
class Artifact:
    """A finished stage: its directory and what its manifest says."""

    stage: str
    path: Path
    manifest: dict[str, Any]

    @property
    def hash8(self) -> str:
        """The eight digits that name it."""
        return self.path.name.rsplit("-", 1)[1]


@dataclass(frozen=True, slots=True)
class Project:
    """A project directory.

    Attributes:
        finished_only: Whether what takes money or hours is only looked up, as for a report.
    """

    root: Path
    finished_only: bool = False

    def may_make(self, stage: str) -> bool:
        """Whether an artifact of this stage may be made where it is missing."""
        return not self.finished_only or stage in CHEAP

    @property
    def store(self) -> Path:
        """The folder of ledger and artifacts."""
        return self.root / ".steep"

    @property
    def ledger_path(self) -> Path:
        """The SQLite file with every call."""
        return self.store / "ledger.db"

    def artifact_path(self, stage: str, hash8: str) -> Path:
        """Where the artifact of `stage` with this identity lies or will lie."""
        return self.store / f"{stage}-{hash8}"

    def find(self, stage: str, hash8: str) -> Artifact | None:
        """Return the finished artifact, or None."""
        path = self.artifact_path(stage, hash8)
        if not (path / MANIFEST).is_file():
            return None
        return Artifact(stage, path, read_json(path / MANIFEST))

    def finished(self, stage: str) -> list[Artifact]:
        """All finished artifacts of a stage, the newest last."""
        manifests = sorted(
            self.store.glob(f"{stage}-*/{MANIFEST}"), key=lambda path: path.stat().st_mtime
        )
        return [Artifact(stage, path.parent, read_json(path)) for path in manifests]

    def run_directory(self, name: str) -> Path:
        """The directory of a run: report.html, resolved config, log."""
        return self.root / "runs" / name


@dataclass(frozen=True, slots=True)
class Identity:
    """What decides the data of an artifact.

    Attributes:
        stage: Name of the stage.
        version: Raised when the stage's code changes its output.
        fields: Configuration fields by their dotted names, and hashes of outside files.
        inputs: The artifacts it is made from, by role.
    """

    stage: str
    version: int
    fields: Mapping[str, Any]
    inputs: Mapping[str, Artifact]

    @property
    def label(self) -> str:
        """What it is called on the terminal: the stage, and the arm if it has one."""
        return f"{self.stage} {self.fields['arm']}" if "arm" in self.fields else self.stage

    @property
    def table(self) -> dict[str, Any]:
        """The identity as plain data."""
        inputs = {role: artifact.path.name for role, artifact in self.inputs.items()}
        return {"version": self.version, "fields": dict(self.fields), "inputs": inputs}

    @property
    def hash8(self) -> str:
        """The eight digits that name the artifact."""
        return stable_hash([self.stage, self.table], 8)


def build(
    project: Project,
    identity: Identity,
    make: Callable[[Path], dict[str, Any]],
    *,
    together: bool = False,
    one_of_many: bool = False,
) -> Artifact:
    """Return the artifact with this identity; make it if it is not finished.

    `make` fills the directory (and may find there what an interrupted run left) and returns what
    the manifest shall say; `wall_s` in it, of what is made elsewhere, is added to the time that
    this took over all of its runs. Where a launcher has started several ranks, they make it
    `together`, and the main one alone keeps it. What is `one_of_many` of its kind in a run is not
    explained by how it differs from another.

    Raises:
        UserError: Several ranks were started for what one process makes, or it is not finished
            and the project may only be looked at.
    """
    if found := project.find(identity.stage, identity.hash8):
        log.info("%s: done before (%s)", identity.label, found.path.name)
        return found
    refuse_unfinished(project, identity)
    path = project.artifact_path(identity.stage, identity.hash8)
    if not together:
        refuse_ranks(identity.label)
    elif not is_main_rank():
        return Artifact(identity.stage, path, make(path))
    if not one_of_many:
        explain_change(project, identity)
    with disk_errors(path), only_maker(path):
        with work_time(path / WORK_TIME) as seconds:
            manifest = make(path)
            wall_s = round(seconds() + manifest.get("wall_s", 0.0), 2)
        made = finish(path, identity, {**manifest, "wall_s": wall_s})
        (path / WORK_TIME).unlink(missing_ok=True)
        return made


class Unfinished(UserError):
    """An artifact that was only to be looked up has not been made."""


def refuse_unfinished(project: Project, identity: Identity) -> None:
    """Refuse to make what takes money or hours where only a look was asked for.

    Raises:
        Unfinished: The artifact of this identity is not there.
    """
    if not project.may_make(identity.stage):
        raise Unfinished(
            f"'{identity.label}' has not been made with this configuration.",
            where=project.artifact_path(identity.stage, identity.hash8),
            hint="steep run makes it, and what else is missing; a report alone makes nothing",
        )


def refuse_ranks(label: str) -> None:
    """Refuse to make in several ranks what one process makes.

    Raises:
        UserError: A launcher has started several.
    """
    if ranks() > 1:
        raise UserError(
            f"'{label}' is not finished, and it is made by one process.",
            found=f"{ranks()} ranks, started by a launcher",
            hint="run steep tokenize first, without the launcher, then start the ranks again",
        )


def finish(path: Path, identity: Identity, manifest: dict[str, Any]) -> Artifact:
    """Write the manifest: from now on the artifact counts as done."""
    manifest = {
        "stage": identity.stage,
        "steep": __version__,
        "identity": identity.table,
        **manifest,
    }
    write_json(path / MANIFEST, manifest)
    log.info("%s: done in %s (%s)", identity.label, duration(manifest["wall_s"]), path.name)
    return Artifact(identity.stage, path, manifest)


@contextmanager
def only_maker(path: Path) -> Iterator[None]:
    """Make the directory and hold it, so that two runs at once do not write into each other's.

    Raises:
        UserError: Another process holds it, or its file system has no locks.
    """
    path.mkdir(parents=True, exist_ok=True)
    lock = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not try_lock(lock, path):
            raise UserError(
                "Another run is making this artifact.",
                where=path,
                hint="wait until it ends, then run the same command again",
            )
        remove_leftovers(path)
        yield
    finally:
        os.close(lock)  # the kernel also does this for a killed process


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files of a killed run: a half-written checkpoint is gigabytes."""
    for leftover in path.glob(".*.tmp"):
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover)
        else:
            leftover.unlink()


def explain_change(project: Project, identity: Identity) -> None:
    """Say which field makes this artifact differ from the newest one of its kind."""
    earlier = [
        artifact
        for artifact in project.finished(identity.stage)
        if _is_of_one_kind(artifact.manifest["identity"]["fields"], identity.fields)
    ]
    if not earlier:
        return
    changes = changes_between(earlier[-1].manifest["identity"], identity.table)
    if changes:
        log.info(
            "%s: made again beside %s, because of %s",
            identity.label,
            earlier[-1].path.name,
            "; ".join(changes),
        )


def _is_of_one_kind(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Return whether both are of one arm and have fields in common, if they have any."""
    common = bool(before.keys() & now.keys()) or not (before or now)
    return common and before.get("arm") == now.get("arm")


def changes_between(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return how two identity tables differ, one text per field or kind of input.

    Of long values, such as prompts, only the name is shown.
    """
    changes = []
    for name in sorted({*before["fields"], *now["fields"]}):
        old, new = before["fields"].get(name), now["fields"].get(name)
        if old != new and _is_digest(old) and _is_digest(new):
            changes.append(f"other {name}")
        elif old != new:
            texts = json.dumps(old), json.dumps(new)
            is_short = max(map(len, texts)) <= MOST_SHOWN
            changes.append(f"{name} {' -> '.join(texts)}" if is_short else f"{name} (changed)")
    roles = sorted({*before["inputs"], *now["inputs"]})
    others = [role for role in roles if before["inputs"].get(role) != now["inputs"].get(role)]
    if len(others) > MOST_ROLES:
        return [*changes, f"{len(others)} other inputs"]
    return changes + [f"other {role}" for role in others]


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None
