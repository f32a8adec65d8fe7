"""Where models were asked: the device, the precision and the versions of the libraries.

A result is named by these, too, so results of several machines lie beside one another. But they
change it by rounding only: what was asked of the same weights is asked once, wherever that was,
and results state their environments. What else identifies a result, such as the hash of the
weights, the questions and the settings, must be equal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from steep.core.artifacts import MANIFEST, Artifact, Identity, Project
from steep.core.files import read_json
from steep.core.formatting import plural, some_of
from steep.evaluation.results import Environment
from steep.llm.local.devices import Precision, PrecisionSetting

FIELDS = ("device", "dtype", "torch", "transformers")
OF_MODEL = ("arm", "train.model", "weights")  # fields that other models of a comparison differ in
SHOWN_MODELS = 4


def environment_fields(device: str, precision: Precision) -> dict[str, str]:
    """Return the fields of the present environment in the identity of a result."""
    libraries = {name: version(name) for name in ("torch", "transformers")}
    return {"device": device, "dtype": precision, **libraries}


def find_finished(
    project: Project, identity: Identity, configured: PrecisionSetting
) -> Artifact | None:
    """Return the finished result of this identity from the best environment, or None.

    With `auto`, results in float32 and in TF32 count. Of several environments that of most results
    on the same questions is taken, so that models are compared within one; of equally many, the
    present one.
    """
    accepted = ("float32", "tf32") if configured == "auto" else (configured,)
    wanted = _without(identity.table, FIELDS)
    finished = _finished(project, identity.stage)
    alike = [
        (path, table)
        for path, table in finished
        if table["fields"].get("dtype") in accepted and _without(table, FIELDS) == wanted
    ]
    if not alike:
        return None
    comparable = _without(identity.table, (*FIELDS, *OF_MODEL))
    counts = Counter(
        _key(table) for _, table in finished if _without(table, (*FIELDS, *OF_MODEL)) == comparable
    )
    present = _key(identity.table)
    best, _ = max(alike, key=lambda each: (counts[_key(each[1])], _key(each[1]) == present))
    return project.find(identity.stage, best.name.rpartition("-")[2])


def _finished(project: Project, stage: str) -> list[tuple[Path, dict[str, Any]]]:
    """Return directories and identities of the finished results of a stage."""
    manifests = sorted(project.store.glob(f"{stage}-*/{MANIFEST}"))
    return [(path.parent, _identity_of(path, path.stat().st_mtime_ns)) for path in manifests]


@lru_cache(maxsize=4096)
def _identity_of(manifest: Path, _: int) -> dict[str, Any]:
    identity: dict[str, Any] = read_json(manifest)["identity"]
    return identity


def _without(table: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return an identity without some fields, and without the model if its fields are named."""
    fields = {name: value for name, value in table["fields"].items() if name not in names}
    left_out = "trained" if "arm" in names else None
    inputs = {role: name for role, name in table["inputs"].items() if role != left_out}
    return {**table, "fields": fields, "inputs": inputs}


def _key(table: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(table["fields"][name]) for name in FIELDS)


def environments_of(artifacts: Iterable[Artifact]) -> tuple[Environment, ...]:
    """Return the environments of results, each with the models that were asked in it."""
    weights: dict[tuple[str, ...], dict[str, str]] = {}
    for artifact in artifacts:
        table = artifact.manifest["identity"]
        if "device" in table["fields"]:  # of a model in this process
            own = weights.setdefault(_key(table), {})
            own[str(table["fields"]["arm"])] = str(table["fields"]["weights"])
    return tuple(
        Environment(device, precision, torch, transformers, tuple(own), own)
        for (device, precision, torch, transformers), own in weights.items()
    )


def described(environment: Environment) -> str:
    """Return an environment in a few words, with its models."""
    products = {"tf32": "float32 with TF32 products"}.get(environment.precision)
    names = some_of(environment.models, SHOWN_MODELS)
    return (
        f"{environment.device}, {products or environment.precision}, torch {environment.torch}, "
        f"transformers {environment.transformers}: {names}"
    )


def mixed(environments: Sequence[Environment]) -> str | None:
    """Return a warning if models were asked on several devices or in several precisions."""
    kinds = {(each.device, each.precision) for each in environments}
    if len(kinds) < 2:
        return None
    named = "; ".join(map(described, environments))
    return (
        f"Models were asked in {plural(len(kinds), 'environment')} whose rounding differs: {named}."
        " Differences between models of different environments include that of the rounding. To "
        "ask all of them in one precision, set evaluate.precision."
    )
