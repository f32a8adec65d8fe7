"""The name and the license of the model that training started from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from steep.config import Config
from steep.core.artifacts import Project
from steep.llm.model_names import EMBEDDED, EMBEDDED_HUB_NAME, EMBEDDED_LICENSE, find_model

CARD = "README.md"


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A model that was trained further.

    Attributes:
        name: For a reader; of a local directory only its last part.
        hub_name: On the Hugging Face Hub; None for a local directory.
        license: An identifier of the Hub; None where its card is not there or has none.
    """

    name: str
    hub_name: str | None
    license: str | None


def describe_base(config: Config, project: Project) -> BaseModel:
    """Return what is known of `train.model` on this machine; nothing is downloaded."""
    named = config.train.model
    if named == EMBEDDED:
        return BaseModel(EMBEDDED_HUB_NAME, EMBEDDED_HUB_NAME, EMBEDDED_LICENSE)
    where = find_model(named, project.root, "train.model")
    if isinstance(where, Path):
        return BaseModel(where.resolve().name, None, _license_in(where / CARD))
    return BaseModel(named, named, _license_in(_cached_card(named)))


def _cached_card(name: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, CARD)
    return Path(found) if isinstance(found, str) else None


def _license_in(card: Path | None) -> str | None:
    """Return the license in the YAML header of a card; None where there is none."""
    if card is None or not card.is_file():
        return None
    parts = card.read_text(encoding="utf-8", errors="replace").split("---\n", 2)
    if len(parts) < 3 or parts[0].strip():
        return None
    try:
        header: Any = yaml.safe_load(parts[1])
    except yaml.YAMLError:
        return None
    found = header.get("license") if isinstance(header, dict) else None
    return found if isinstance(found, str) else None
