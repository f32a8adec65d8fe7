"""The base of all configuration sections, and what the identity of an artifact takes of one."""

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


def identity_fields(name: str, section: Section) -> dict[str, Any]:
    """Return the fields of a section that decide a result, as plain data by their dotted names.

    A field that holds sections by name gives theirs, under longer names.

    Args:
        name: Of the section.
        section: Its settings.
    """
    plain = section.model_dump(mode="json")
    found: dict[str, Any] = {}
    for key, field in type(section).model_fields.items():
        extra = field.json_schema_extra
        if isinstance(extra, dict) and extra.get("identity") is False:
            continue
        value = getattr(section, key)
        if isinstance(value, dict) and any(isinstance(each, Section) for each in value.values()):
            found[f"{name}.{key}"] = list(value)
            for inner, each in value.items():
                found |= identity_fields(f"{name}.{key}.{inner}", each)
        else:
            found[f"{name}.{key}"] = plain[key]
    return found
