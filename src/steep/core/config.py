"""The base class of configuration sections, and the fields that identify an artifact."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Base of all sections: immutable, and strict about keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def operational(default: Any, **settings: Any) -> Any:
    """Return a field that changes how a result is computed, but not the result.

    Args:
        default: Of the field.
        settings: As those of `pydantic.Field`: constraints, a description.
    """
    return Field(default, json_schema_extra={"identity": False}, **settings)


def identity_fields(name: str, section: Section, of: type[Section] | None = None) -> dict[str, Any]:
    """Return the fields of a section that decide a result, as plain data by their dotted names.

    A field that holds sections by name gives theirs, under longer names.

    Args:
        name: Of the section.
        section: Its settings; operational fields of sections inside it are left out, too.
        of: Take only the fields that this base class of the section declares.
    """
    found = _deciding(section, of or type(section))
    return {f"{name}.{key}": value for key, value in found.items()}


def changed_fields(section: BaseModel) -> dict[str, Any]:
    """Return the settings that differ from their defaults, nested as in the YAML file."""
    dumped, found = section.model_dump(mode="json"), {}
    for key, field in type(section).model_fields.items():
        value = getattr(section, key)
        if value != field.get_default(call_default_factory=True):
            found[key] = changed_fields(value) if isinstance(value, BaseModel) else dumped[key]
    return found


def _deciding(section: Section, kind: type[Section]) -> dict[str, Any]:
    dumped, found = section.model_dump(mode="json"), {}
    for key, field in kind.model_fields.items():
        extra = field.json_schema_extra
        if not (isinstance(extra, dict) and extra.get("identity") is False):
            value = getattr(section, key)
            found[key] = dumped[key]
            if isinstance(value, Section):
                found[key] = _deciding(value, type(value))
            elif isinstance(value, dict):
                sections = {name: each for name, each in value.items() if isinstance(each, Section)}
                found[key] = list(value) if sections else dumped[key]
                for name, each in sections.items():
                    own = _deciding(each, type(each))
                    found |= {f"{key}.{name}.{field}": own[field] for field in own}
    return found
