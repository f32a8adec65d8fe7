"""Cleaning that keeps the words of a text: newlines, control characters, blanks."""

from __future__ import annotations

import re

# Control characters but tab and newline, and the byte order mark wherever it stands.
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ufeff]")
# Form feed, vertical tab and the Unicode separators end a line; JSON Lines and we use only \n.
_LINE_ENDS = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_SURROGATE = re.compile("[\ud800-\udfff]")
# Any of these: most texts have none, and one search takes a third of the time of three.
_ODD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff]")


def clean_text(text: str) -> str:
    """Normalize newlines, drop control characters and half surrogate pairs, strip the ends."""
    if not _ODD.search(text):
        return text.strip()
    lines = _LINE_ENDS.sub("\n", text)
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", _CONTROL.sub("", lines)).strip()


def one_line(text: str) -> str:
    """Return the text on one line, with single blanks."""
    return " ".join(clean_text(text).split())
