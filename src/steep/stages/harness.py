"""What all stages share: identity, the check that one is done, and the manifest, written last.

The identity of an artifact is a table made by its stage: the version of the stage, exactly the
configuration fields that change its data, and the identities of its inputs. Its hash names the
directory, so a rerun finds what is there, and a changed field makes a new directory beside the old
one. Nothing is deleted.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steep import __version__
from steep.core.files import write_json
from steep.core.ids import stable_hash
from steep.core.progress import duration
from steep.project import MANIFEST, Artifact, Project

log = logging.getLogger("steep")


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
    def table(self) -> dict[str, Any]:
        """The identity as plain data."""
        inputs = {role: artifact.path.name for role, artifact in self.inputs.items()}
        return {"version": self.version, "fields": dict(self.fields), "inputs": inputs}

    @property
    def hash8(self) -> str:
        """The eight digits that name the artifact."""
        return stable_hash([self.stage, self.table], 8)


def build(project: Project, identity: Identity, make: Callable[[Path], dict[str, Any]]) -> Artifact:
    """Return the artifact with this identity; make it if it is not finished.

    `make` fills the directory (and may find there what an interrupted run left) and returns what
    the manifest shall say.
    """
    if found := project.find(identity.stage, identity.hash8):
        log.info("%s: done before (%s)", identity.stage, found.path.name)
        return found
    _explain_change(project, identity)
    path = project.artifact_path(identity.stage, identity.hash8)
    path.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    manifest = make(path)
    wall_s = round(time.monotonic() - start, 2)
    return finish(path, identity, {**manifest, "wall_s": wall_s})


def finish(path: Path, identity: Identity, manifest: dict[str, Any]) -> Artifact:
    """Write the manifest: from now on the artifact counts as done."""
    manifest = {
        "stage": identity.stage,
        "steep": __version__,
        "identity": identity.table,
        **manifest,
    }
    write_json(path / MANIFEST, manifest)
    if "wall_s" in manifest:
        log.info("%s: done in %s (%s)", identity.stage, duration(manifest["wall_s"]), path.name)
    return Artifact(identity.stage, path, manifest)


def _explain_change(project: Project, identity: Identity) -> None:
    """Say which field makes this artifact differ from the newest one of its kind."""
    earlier = [
        artifact
        for artifact in project.finished(identity.stage)
        if artifact.manifest["identity"]["fields"].get("arm") == identity.fields.get("arm")
    ]
    if not earlier:
        return
    before, now = earlier[-1].manifest["identity"], identity.table
    changes = [
        f"{name} {before['fields'].get(name)!r} -> {now['fields'].get(name)!r}"
        for name in sorted({*before["fields"], *now["fields"]})
        if before["fields"].get(name) != now["fields"].get(name)
    ]
    changes += [
        f"other {role}"
        for role, name in now["inputs"].items()
        if before["inputs"].get(role) != name
    ]
    if changes:
        log.info(
            "%s: made anew beside %s, because of %s",
            identity.stage,
            earlier[-1].path.name,
            "; ".join(changes),
        )
