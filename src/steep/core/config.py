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


def identity_fields(name: str, section: Section) -> dict[str, Any]:
    """Return the fields of a section that decide a result, as plain data by their dotted names.

    Args:
        name: Of the section.
        section: Its settings.
    """
    marked = {
        key
        for key, field in type(section).model_fields.items()
        if isinstance(field.json_schema_extra, dict)
        and field.json_schema_extra.get("identity") is False
    }
    return {
        f"{name}.{key}": value
        for key, value in section.model_dump(mode="json").items()
        if key not in marked
    }
