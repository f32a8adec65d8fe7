"""Write into a directory of the user: a new one, or one of an earlier export."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from steep.core.errors import UserError
from steep.core.files import disk_errors


def check_export_directory(directory: Path, mark: str) -> None:
    """Check that an export may write into a directory.

    Args:
        directory: New, empty, or of an earlier export.
        mark: The name of the file that such an export has written.

    Raises:
        UserError: It holds files that no export has written.
    """
    if directory.is_dir() and not (directory / mark).is_file():
        others = sorted(each.name for each in directory.iterdir() if each.name[0] != ".")
    else:
        others = [directory.name] if directory.is_file() else []
    if others:
        raise UserError(
            "The directory holds files that an export has not written; nothing was written.",
            where=directory,
            expected="a new or empty directory, or one of an earlier export",
            found=", ".join(others[:3]),
        )


def copy_files(sources: Iterable[Path], directory: Path) -> None:
    """Copy files into a directory, each of them atomically."""
    for source in sources:
        target = directory / source.name
        temporary = directory / f".{source.name}.{os.getpid()}.tmp"
        with disk_errors(target):
            try:
                shutil.copyfile(source, temporary)
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)
