"""ZIP archives of XML parts (DOCX, PPTX, EPUB), read with limits on what they unpack to.

XML is parsed without entities, DTDs and network, so that no part can grow or read other files.
"""

from __future__ import annotations

import posixpath
import zipfile
import zlib
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

from steep.core.formatting import file_size
from steep.documents.child import Unreadable
from steep.documents.formats.markup import TOO_DEEP, check_depth

MOST_BYTES = 256 << 20  # of all parts that are read, unpacked
MOST_PARTS = 20_000
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # Word 97 files, and encrypted ones of today


class ZipParts:
    """The parts of one file, by name.

    Raises:
        Unreadable: It is no ZIP archive, encrypted, damaged or too large.
    """

    def __init__(self, path: str, what: str) -> None:
        with Path(path).open("rb") as file:
            start = file.read(len(OLE))
        if start == OLE:
            raise Unreadable(
                f"encrypted, or of an old version of Office; remove the password, or save it as "
                f"{what} again"
            )
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise Unreadable(f"damaged, or no {what}: {error}") from error
        names = self._zip.namelist()
        if len(names) > MOST_PARTS:
            raise Unreadable(f"it has {len(names):,} parts; at most {MOST_PARTS:,} are read")
        self._names = {name.lower(): name for name in names}
        self._left = MOST_BYTES

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._zip.close()

    def has(self, name: str) -> bool:
        """Return whether there is a part of this name, in upper or lower case."""
        return name.lower() in self._names

    def read(self, name: str) -> bytes:
        """Return the bytes of a part."""
        if not self.has(name):
            raise Unreadable(f"damaged: the part {name} is missing")
        try:
            with self._zip.open(self._names[name.lower()]) as part:
                data = part.read(self._left + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise Unreadable(f"damaged: {error}") from error
        except (RuntimeError, NotImplementedError) as error:  # a password, an odd compression
            raise Unreadable(f"encrypted or packed in an unknown way: {error}") from error
        self._left -= len(data)
        if self._left < 0:
            raise Unreadable(f"it unpacks to more than {file_size(MOST_BYTES)}")
        return data

    def xml(self, name: str) -> Any:
        """Return the root element of a part."""
        root = parsed_xml(self.read(name), name)
        check_depth(root)
        return root

    def relations(self, name: str) -> dict[str, tuple[str, str]]:
        """Return (kind, target part) of each relationship of a part of an Office file, by id."""
        folder, _, file = name.rpartition("/")
        path = posixpath.join(folder, "_rels", f"{file}.rels")
        if not self.has(path):
            return {}
        return {
            each.get("Id", ""): (
                each.get("Type", "").rpartition("/")[2],
                joined(name, each.get("Target", "")),
            )
            for each in self.xml(path)
            if each.get("TargetMode") != "External"
        }


def joined(part: str, target: str) -> str:
    """Return the name of the part to which `target` refers within `part`."""
    path = unquote(target.partition("#")[0])
    return posixpath.normpath(posixpath.join(posixpath.dirname(part), path)).lstrip("/")


def parsed_xml(data: bytes, name: str) -> Any:
    """Return the root element of XML; entities stay as they are.

    Raises:
        Unreadable: It is not well-formed.
    """
    from lxml import etree

    if b"<!ENTITY" in data.replace(b"\0", b""):  # also in UTF-16
        raise Unreadable(f"{name} declares entities, which may hide a bomb; none are read")
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=True,
        remove_comments=True,
    )
    try:
        return etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        if "Excessive depth" in str(error):  # the parser's own limit is 2,048
            raise Unreadable(TOO_DEEP) from error
        raise Unreadable(f"damaged: {name}: {error}") from error
