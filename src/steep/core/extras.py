"""Extras of the package: which of them brings a Python package that is not installed."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires

from steep.core.errors import UserError

FOR_DEVELOPERS = "dev"
_REQUIREMENT = re.compile(r"""([\w.-]+).*;.*\bextra == ['"]([\w-]+)['"]""")


def missing_extra(error: ModuleNotFoundError) -> UserError | None:
    """Return the error for a package of an extra that is not installed; None for other modules."""
    package = (error.name or "").partition(".")[0]
    extra = extra_of(package)
    if extra is None:
        return None
    return UserError(
        f"This command needs the Python package {package}, which is not installed.",
        hint=f"pip install 'steep[{extra}]'",
    )


def extra_of(package: str) -> str | None:
    """Return the first extra, in alphabetical order, that requires the package of a module."""
    try:
        matches = [_REQUIREMENT.match(line) for line in requires("steep") or ()]
    except PackageNotFoundError:  # run from its source without an installation
        return None
    extras = sorted(
        match[2] for match in matches if match and _normalized(match[1]) == _normalized(package)
    )
    return next((extra for extra in extras if extra != FOR_DEVELOPERS), None)


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
