"""From a `steep.yaml` to the configuration: presets, overrides, and one clear word on a mistake."""

from __future__ import annotations

import copy
import difflib
import os
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from steep.config import PRESETS, Config
from steep.core.config import Section
from steep.core.errors import UserError
from steep.core.yaml_reading import parse_yaml, read_yaml
from steep.generation.config import GenerateConfig
from steep.recipes.registry import kind_of
from steep.recipes.template import TemplateOptions, read_template

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

CONFIG_NAME = "steep.yaml"
LONGEST_NAME = 100
SECRET_KEYS = "key_env"  # how the fields end that a key might be pasted into by mistake
UNITS = {"": "1", "%": "0.01", "K": "1e3", "M": "1e6", "G": "1e9", "B": "1e9"}
Scalar = bool | int | float
# What pydantic calls a mistake, and what was expected then.
KINDS = {
    "string_type": "a text",
    "path_type": "a path",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of at most 64 bits",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "dict_type": "a section with keys of its own",
    "model_type": "a section with keys of its own",
    "model_attributes_type": "a section with keys of its own",
}
BOUNDS = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
PATTERNS = {r"^[\w.-]+$": "letters, digits, dots, hyphens and underscores"}
_PLACEHOLDER = re.compile(r"\{\{.*?\}\}|<%.*?%>")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|([A-Z_][A-Z0-9_]*))")
_NUMBER = re.compile(r"(?P<digits>[0-9][0-9_,]*(?:\.[0-9]+)?) *(?P<unit>[kKMGB%]?)")
_NO_FILE_NAME = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f]|^\s|\s$|^$')


class ConfigSource(NamedTuple):
    """Where a configuration comes from: its file, and overrides by their dotted keys."""

    path: Path
    overrides: Mapping[str, str] = {}

    def where(self, key: str) -> str:
        """What a message calls the place of a key."""
        for dotted, override in reversed(list(self.overrides.items())):
            if f"{key}.".startswith(f"{dotted}."):
                return f"--set {override}"
        return f"{self.path}:{key}"


def load_config(path: Path, overrides: tuple[str, ...] = ()) -> Config:
    """Read a `steep.yaml`, apply `a.b=c` overrides, resolve its paths against its folder.

    Raises:
        UserError: The file is missing or is no YAML, a key is unknown or a value is not allowed.
    """
    if not path.is_file():
        raise UserError(
            "There is no configuration here.",
            where=path.absolute(),
            hint="name it with -c FILE, or change to the project's directory; a new project: "
            "steep init --documents DIR",
        )
    tree = read_yaml(path)
    given = {}
    for override in overrides:
        _apply_override(tree, override)
        given[override.partition("=")[0].strip()] = override
    return parse_config(tree, ConfigSource(path, given))


def parse_config(tree: dict[str, Any], source: ConfigSource) -> Config:
    """Validate a configuration tree; the file of its source anchors its paths."""
    given = {key: value for key, value in tree.items() if value is not None}  # an empty section
    given = _with_presets(_filled(given, (), source))
    try:
        config = Config.model_validate(given)
    except ValidationError as error:
        try:
            config = Config.model_validate(_with_texts_read(given, error, source))
        except ValidationError as remaining:
            raise _explain(remaining, source) from remaining
    _check_names(config, source)
    return _anchor_paths(config, source.path.resolve().parent)


def _filled(value: Any, location: tuple[str, ...], source: ConfigSource) -> Any:
    """Put in the home directory and environment variables; refuse a placeholder left in."""
    if isinstance(value, dict):
        return {key: _filled(each, (*location, str(key)), source) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, location, source) for each in value]
    key = ".".join(location)
    if not isinstance(value, str) or key.endswith(SECRET_KEYS):
        return value
    if placeholder := _PLACEHOLDER.search(value):
        raise UserError(
            f"A placeholder was left in '{key}'.",
            where=source.where(key),
            found=placeholder[0],
            hint="write the value in its place",
        )

    def variable(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in os.environ:
            raise UserError(
                f"The environment variable '{name}' is not set.",
                where=source.where(key),
                found=value,
                hint=f"export {name}=..., or write the value in its place",
            )
        return os.environ[name]

    filled = _VARIABLE.sub(variable, value)
    return str(Path(filled).expanduser()) if filled.startswith("~/") else filled


def _with_texts_read(
    tree: dict[str, Any], error: ValidationError, source: ConfigSource
) -> dict[str, Any]:
    """Read numbers written as texts (50M, 5%), and texts that an override made numbers."""
    tree = copy.deepcopy(tree)
    for each in error.errors():
        location = [str(part) for part in _place(each["loc"])]
        override = source.overrides.get(".".join(location))
        value: Any = None
        if each["type"] in ("int_parsing", "float_parsing"):
            value = _number(str(each["input"]), whole=each["type"] == "int_parsing")
        elif each["type"] == "string_type" and override and each["input"] is not None:
            value = override.partition("=")[2].strip()
        parent = tree
        for section in location[:-1]:
            parent = parent[section]
        if value is not None and isinstance(parent, dict):
            parent[location[-1]] = value
    return tree


def _number(text: str, *, whole: bool) -> float | None:
    match = _NUMBER.fullmatch(text.strip())
    if match is None or (whole and match["unit"] == "%"):
        return None
    # In decimal digits, so that 0.3B is 300,000,000 and no less.
    number = Decimal(match["digits"].replace(",", "").replace("_", ""))
    return float(number * Decimal(UNITS[match["unit"].upper()]))


def _check_names(config: Config, source: ConfigSource) -> None:
    """Refuse names that become names of files, and cannot."""
    if config.name in (".", ".."):
        raise _bad_name("A run", "name", config.name, source)
    for key, names in (
        ("train.arms", config.train.arms),
        ("evaluate.servers", config.evaluate.servers),
    ):
        for name in names:
            if _NO_FILE_NAME.search(name) or len(name.encode()) > LONGEST_NAME:
                raise _bad_name("A model", key, name, source)


def _bad_name(what: str, key: str, name: str, source: ConfigSource) -> UserError:
    return UserError(
        f"{what} cannot have this name, which becomes the name of a file.",
        where=source.where(key),
        expected=f"up to {LONGEST_NAME} letters, digits, blanks inside, and . _ - + = , ( ) @ # %",
        found=repr(name),
        hint="e.g. lr-1e-4 instead of lr/1e-4",
    )


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
    anchored = {name: _anchored(section, folder) for name, section in config}
    return config.model_copy(update=anchored)


def _anchored(value: Any, folder: Path) -> Any:
    if isinstance(value, Path):
        return folder / value
    if isinstance(value, Section):
        section = value.model_copy(update={key: _anchored(each, folder) for key, each in value})
        return read_template(section) if isinstance(section, TemplateOptions) else section
    if isinstance(value, dict):
        return {key: _anchored(each, folder) for key, each in value.items()}
    return value


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
        tree[key] = parse_yaml(value)
    except yaml.YAMLError as error:
        raise UserError(
            "The value of an override is not valid YAML.", where=f"--set {override}", found=error
        ) from error


def _explain(error: ValidationError, source: ConfigSource) -> UserError:
    """Say one mistake, with the nearest known name for a mistyped key.

    A mistyped key comes first: it may be why a required one is missing.
    """
    mistakes = sorted(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    first, location = mistakes[0], _place(mistakes[0]["loc"])
    key = ".".join(str(part) for part in location)
    more = len({_place(each["loc"]) for each in mistakes}) - 1
    others = f" ({more} more after it)" if more else ""
    where = source.where(key)
    if first["type"] == "extra_forbidden":
        known = sorted(_fields_of(location[:-1]))
        near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else None
        return UserError(
            f"Unknown key '{location[-1]}'{others}.",
            where=where,
            expected=None if near else ", ".join(known),
            hint=hint,
        )
    if first["type"] == "missing":
        return UserError(f"'{key}' is missing{others}.", where=where, hint="set it")
    here = [each for each in mistakes if _place(each["loc"]) == location]
    expected = " or ".join(dict.fromkeys(_expected(each) for each in here))
    found, hint = repr(first["input"]), None
    if any(each["type"] == "string_type" for each in here) and isinstance(first["input"], Scalar):
        hint = f'put it in quotes, so that it is read as text: "{first["input"]}"'
    if key.endswith(SECRET_KEYS):  # a key pasted here by mistake must not reach a log
        expected, found = "the NAME of an environment variable, in capitals", "not shown"
    return UserError(
        f"Bad value for '{key}'{others}.", where=where, expected=expected, found=found, hint=hint
    )


def _expected(mistake: ErrorDetails) -> str:
    """What pydantic expected, in our words."""
    kind, bounds = mistake["type"], mistake.get("ctx", {})
    if kind in KINDS:
        return KINDS[kind]
    if kind in BOUNDS:
        word, name = BOUNDS[kind]
        return f"{word} {bounds[name]}"
    if kind == "literal_error":
        return str(bounds["expected"])
    if kind == "string_pattern_mismatch":
        return PATTERNS.get(bounds["pattern"], f"a text that matches {bounds['pattern']}")
    if kind == "tuple_type":
        return f"a list, e.g. [{', '.join(_examples(mistake['loc']))}]"
    return mistake["msg"]


def _examples(location: tuple[int | str, ...]) -> list[str]:
    """Values that a list at this place may hold, as far as its type names them."""
    field = _field_at(location)
    inner = [
        each for part in get_args(field and field.annotation) for each in (part, *get_args(part))
    ]
    named = [each for each in inner if get_origin(each) is Literal]
    return [str(each) for each in get_args(named[0])[:2]] if named else ["one", "two"]


def _along(location: tuple[int | str, ...]) -> Iterator[FieldInfo | None]:
    """Yield the field that each part of a place names; None for the name or number of an entry."""
    section: type[BaseModel] | None = Config
    field = None
    for part in location:
        if section is not None and (found := section.model_fields.get(str(part))):
            field, section = found, _section_of(found.annotation)
            yield field
            continue
        if field is GenerateConfig.model_fields["recipes"] and section is None:
            section = kind_of(str(part), {"template": ""}).options
        yield None


def _field_at(location: tuple[int | str, ...]) -> FieldInfo | None:
    fields = [field for field in _along(location) if field is not None]
    return fields[-1] if fields else None


def _place(location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The place in the file; pydantic goes on from there into the members of a union."""
    for depth, field in enumerate(_along(location), start=1):
        kind = field and field.annotation
        if get_origin(kind) in (Union, UnionType) and _section_of(kind) is None:
            return location[:depth]
    return location


def _fields_of(location: tuple[int | str, ...]) -> set[str]:
    """The fields that may stand at a place."""
    section: type[BaseModel] = Config
    for part, field in zip(location, _along(location), strict=True):
        if field is not None:
            section = _section_of(field.annotation) or section
        elif section is GenerateConfig:
            section = kind_of(str(part), {"template": ""}).options
    return set(section.model_fields)


def _section_of(annotation: Any) -> type[BaseModel] | None:
    """The section that a field is, may be, or has entries of."""
    members = [annotation, *get_args(annotation)]
    return next((m for m in members if isinstance(m, type) and issubclass(m, BaseModel)), None)
