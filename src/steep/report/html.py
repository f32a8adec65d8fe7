"""Markup that escapes by default: text becomes `Html` in one place only.

Documents and generated passages are anybody's text, so nothing reaches the page but through `el`,
which escapes every child and attribute that is not `Html` already.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Any


@dataclass(frozen=True, slots=True)
class Html:
    """Finished markup."""

    text: str


Child = Html | str | None
Value = str | float | bool | None


def el(name: str, *children: Child, **attributes: Value) -> Html:
    """Build an element; `class_` becomes `class`, `stroke_width` becomes `stroke-width`."""
    pairs = "".join(_attribute(key, value) for key, value in attributes.items())
    return Html(f"<{name}{pairs}>{join(children).text}</{name}>")


def join(children: Iterable[Child], separator: str = "") -> Html:
    """Put children one after another; strings are escaped, None is nothing."""
    return Html(separator.join(_markup(child) for child in children if child is not None))


def data_block(name: str, value: Any) -> Html:
    """Return a value as JSON for a script of the page; browsers do not run it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return el("script", Html(text), type="application/json", id=name)


def number(value: float) -> str:
    """A coordinate: two decimals at most, so that a page does not depend on the last bits."""
    text = f"{round(value, 2) + 0.0:.2f}"  # + 0.0 turns a negative zero into zero
    return text.rstrip("0").rstrip(".")


def _markup(child: Html | str) -> str:
    return child.text if isinstance(child, Html) else escape(child, quote=False)


def _attribute(key: str, value: Value) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    text = value if isinstance(value, str) else number(value)
    return f' {name}="{escape(text)}"'
