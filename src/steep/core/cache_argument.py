"""The argument of models for keys and values that are known: transformers 5.24 has renamed it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def cache_argument(function: Callable[..., Any]) -> str:
    """Return its name in a function of transformers: `cache`, or before 5.24 `past_key_values`."""
    return "cache" if "cache" in inspect.signature(function).parameters else "past_key_values"
