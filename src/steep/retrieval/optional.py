"""Packages that only some settings need: loaded when they are used, named when they are missing."""

from __future__ import annotations

import importlib
from typing import Any

from steep.core.errors import UserError


def need(module: str, package: str) -> Any:
    """Import a module.

    Raises:
        UserError: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"The package {package} is not installed, or is broken.",
            found=error,
            hint=f"pip install {package}",
        ) from error
