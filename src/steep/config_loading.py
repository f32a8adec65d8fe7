"""From a `steep.yaml` to the configuration: presets, overrides, and one clear word on a mistake."""

from __future__ import annotations

import difflib
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from steep.config import Config, Section
from steep.core.errors import UserError
from steep.presets import PRESETS

CONFIG_NAME = "steep.yaml"
SECRET_KEYS = "key_env"  # how the fields end that a key might be pasted into by mistake


class _StrictLoader(yaml.SafeLoader):
    """YAML in which a key that stands twice in a section is a mistake, not the last word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key.value}' stands here twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def load_config(path: Path, overrides: tuple[str, ...] = ()) -> Config:
    """Read a `steep.yaml`, apply `a.b=c` overrides, resolve its paths against its folder.

    Raises:
        UserError: The file is missing or is no YAML, a key is unknown or a value is not allowed.
    """
    if not path.is_file():
        raise UserError(
            "There is no configuration here.", where=path, hint="steep init --documents DIR"
        )
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(
            "This is not valid YAML.", where=path, found=error, hint="see the line it names"
        ) from error
    if not isinstance(tree, dict):
        raise UserError("Expected sections at the top level.", where=path, found=tree)
    for override in overrides:
        _apply_override(tree, override)
    return parse_config(tree, path)


def parse_config(tree: dict[str, Any], path: Path) -> Config:
    """Validate a configuration tree; `path` names its file in messages and anchors its paths."""
    given = {key: value for key, value in tree.items() if value is not None}  # an empty section
    given = _with_presets(given)
    try:
        config = Config.model_validate(given)
    except ValidationError as error:
        raise _explain(error, path) from error
    return _anchor_paths(config, path.resolve().parent)


def _with_presets(tree: dict[str, Any]) -> dict[str, Any]:
    """Put the fields of a named preset under those that the section itself has."""
    filled = dict(tree)
    for section, presets in PRESETS.items():
        given = tree.get(section)
        name = given.get("preset") if isinstance(given, dict) else None
        if given and isinstance(name, str) and name in presets:
            lengths = {"epochs", "tokens"}
            chosen = {
                key: value
                for key, value in presets[name].items()
                if not (key in lengths and lengths & given.keys())
            }
            filled[section] = chosen | given
    return filled


def _anchor_paths(config: Config, folder: Path) -> Config:
    """Let every relative path of the configuration start at the configuration's folder."""
    anchored = {}
    for name, section in config:
        if isinstance(section, Section):
            paths = {key: folder / value for key, value in section if isinstance(value, Path)}
            anchored[name] = section.model_copy(update=paths)
    return config.model_copy(update=anchored)


def _apply_override(tree: dict[str, Any], override: str) -> None:
    dotted, separator, value = override.partition("=")
    if not separator:
        raise UserError(
            "An override has no '='.", found=override, expected="--set section.key=value"
        )
    *sections, key = dotted.strip().split(".")
    for section in sections:
        if tree.get(section) is None:  # not there, or written without a key under it
            tree[section] = {}
        tree = tree[section]
        if not isinstance(tree, dict):
            raise UserError(f"'{section}' is not a section.", where=f"--set {override}")
    try:
        tree[key] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UserError(
            "The value of an override is not valid YAML.", where=f"--set {override}", found=error
        ) from error


def _explain(error: ValidationError, path: Path) -> UserError:
    """Say one mistake, with the nearest known name for a mistyped key.

    A mistyped key comes first: it may be why a required one is missing.
    """
    mistakes = sorted(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    first, location = mistakes[0], _place(mistakes[0]["loc"])
    key = ".".join(str(part) for part in location)
    more = len({_place(each["loc"]) for each in mistakes}) - 1
    others = f" ({more} more after it)" if more else ""
    if first["type"] == "extra_forbidden":
        known = sorted(_fields_of(location[:-1]))
        near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else None
        return UserError(
            f"Unknown key '{location[-1]}'{others}.",
            where=f"{path}:{key}",
            expected=", ".join(known),
            hint=hint,
        )
    expected = " or ".join(each["msg"] for each in mistakes if _place(each["loc"]) == location)
    if first["type"] == "missing":
        return UserError(f"'{key}' is missing{others}.", where=f"{path}:{key}", hint="set it")
    found = repr(first["input"])
    if key.endswith(SECRET_KEYS):  # a key pasted here by mistake must not reach a log
        expected, found = "the NAME of an environment variable, in capitals", "not shown"
    return UserError(
        f"Bad value for '{key}'{others}.", where=f"{path}:{key}", expected=expected, found=found
    )


def _place(location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The place in the file; pydantic goes on from there into the members of a union."""
    section: type[BaseModel] | None = Config
    for depth, part in enumerate(location, start=1):
        if section is None or not (field := section.model_fields.get(str(part))):
            continue  # the name of an entry, and what comes after it is a field again
        kind = field.annotation
        if get_origin(kind) in (Union, UnionType) and _section_of(kind) is None:
            return location[:depth]
        section = _section_of(kind)
    return location


def _fields_of(location: tuple[int | str, ...]) -> set[str]:
    """The fields that may stand at a place."""
    section: type[BaseModel] = Config
    for part in location:
        if field := section.model_fields.get(str(part)):
            section = _section_of(field.annotation) or section
    return set(section.model_fields)


def _section_of(annotation: Any) -> type[BaseModel] | None:
    """The section that a field is, may be, or has entries of."""
    members = [annotation, *get_args(annotation)]
    return next((m for m in members if isinstance(m, type) and issubclass(m, BaseModel)), None)
