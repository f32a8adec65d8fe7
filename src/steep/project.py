"""Where things lie: a project is the directory of its `steep.yaml`.

`.steep/ledger.db` holds every call; `.steep/<stage>-<hash8>/` one directory an artifact, finished
when its `manifest.json` is there; `runs/<name>/` is what a person opens.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steep.core.files import read_json

MANIFEST = "manifest.json"
CHEAP = ("documents", "corpus", "evaluate")  # stages that take seconds, from what is there


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
