"""Data sets of the Hugging Face Hub: `hf://owner/name[/config][:split]`, through `datasets`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from steep.core.errors import UserError
from steep.documents.clean import one_line
from steep.documents.columns import RecordFile, column_names, read_records
from steep.documents.config import ColumnsConfig
from steep.documents.document import Reading, Skipped
from steep.documents.records import BadRecord

SCHEME = "hf://"
DEFAULT_SPLIT = "train"
_NAME = re.compile(r"hf://(?:datasets/)?(?P<name>[\w.-]+(?:/[\w.-]+)?)(?:/(?P<config>[^/:]+))?"
                   r"(?::(?P<split>[\w.\[\]:%+-]+))?")  # fmt: skip


def is_hub(path: object) -> bool:
    """Return whether `documents.path` is the address of a data set."""
    return str(path).startswith(SCHEME)


class HubDataset(NamedTuple):
    """A data set, one of its configurations (None: the default) and a split (None: train)."""

    name: str
    config: str | None
    split: str | None


def parse_hub(address: str) -> HubDataset:
    """Return the parts of an address.

    Raises:
        UserError: It is of another form.
    """
    match = _NAME.fullmatch(address)
    if match is None:
        raise UserError(
            "This is no address of a data set.",
            where="documents.path",
            expected="hf://owner/name, hf://owner/name/config or hf://owner/name/config:split",
            found=address,
        )
    return HubDataset(match["name"], match["config"], match["split"])


def read_hub(address: str, columns: ColumnsConfig) -> Reading:
    """Read one document per row of a data set, which `datasets` downloads once and keeps.

    Raises:
        UserError: `datasets` is not installed, or the data set cannot be loaded.
    """
    wanted = parse_hub(address)
    skipped: list[Skipped] = []
    rows = _load(address, wanted, skipped)
    name = address.removesuffix(f":{wanted.split}")
    file = RecordFile(name, wanted.name, columns)
    try:
        used = column_names(tuple(rows.column_names), columns).used
    except BadRecord as error:
        return Reading((), (*skipped, Skipped(address, str(error))), 1)
    return read_records(_numbered(rows.select_columns(used), address), file, skipped)


def _numbered(rows: Any, address: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, row in enumerate(rows, start=1):
        yield f"{address}:{number}", row


def _load(address: str, wanted: HubDataset, skipped: list[Skipped]) -> Any:
    """Return the rows; a split that was not asked for is named."""
    try:
        import datasets
    except ImportError as error:
        raise UserError(
            "Data sets of the Hub need the package datasets.",
            where=f"documents.path: {address}",
            found=error,
            hint="pip install 'steep[sources]'",
        ) from error
    try:
        found = datasets.load_dataset(wanted.name, wanted.config, split=wanted.split)
    except Exception as error:  # of many kinds: network, names, access, formats
        raise UserError(
            "This data set cannot be loaded.",
            where=f"documents.path: {address}",
            found=one_line(f"{type(error).__name__}: {error}"),
            hint="check its name, configuration and split, the network, and for a private one "
            "`hf auth login`",
        ) from error
    if wanted.split is not None:
        return found
    split = DEFAULT_SPLIT if DEFAULT_SPLIT in found else next(iter(found))
    if others := [each for each in found if each != split]:
        reason = f"only the split {split} is read, not {', '.join(others)}; add :SPLIT for another"
        skipped.append(Skipped(address, reason, kept=True))
    return found[split]
