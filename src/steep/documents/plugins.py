"""Readers of installed packages.

A package adds a reader by an entry point of the group `steep.readers`. Its name is a suffix, and
its value a function that takes the path of a file, its name for messages and the id it gives, and
returns a `Reading`:

    [project.entry-points."steep.readers"]
    ".rst" = "my_package.reader:read_rst"
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from steep.core.errors import UserError
from steep.documents.document import Reading

GROUP = "steep.readers"
FileReader = Callable[[Path, str, str], Reading]


@cache
def installed_readers() -> dict[str, EntryPoint]:
    """Return the entry points by suffix, in lower case and with its dot."""
    points = entry_points(group=GROUP)
    return {f".{point.name.lower().removeprefix('.')}": point for point in points}


@cache
def installed_reader(suffix: str) -> FileReader | None:
    """Return the reader of an installed package for files of a suffix, if there is one.

    Raises:
        UserError: What the package registers cannot be loaded, or is no function.
    """
    point = installed_readers().get(suffix)
    if point is None:
        return None
    where = f"the entry point '{point.name}' of {point.value.partition(':')[0]}"
    try:
        reader: FileReader = point.load()
    except Exception as error:
        raise UserError(
            f"The reader of '{suffix}' files of an installed package cannot be loaded.",
            where=where,
            found=f"{type(error).__name__}: {error}",
            hint="install the package again, or remove it",
        ) from error
    if not callable(reader):
        raise UserError(
            f"The reader of '{suffix}' files of an installed package is not a function.",
            where=where,
            expected="a function (path, name, id) -> steep.documents.document.Reading",
            found=repr(reader),
        )
    return reader
