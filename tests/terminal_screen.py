"""What a terminal shows after a program has written to it."""

from __future__ import annotations

import re

_MOVE_OR_TEXT = re.compile(r"\x1b\[(\d*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)")


def screen_of(written: str) -> list[str]:
    """Return the lines of a terminal that is wide and high enough for all of them.

    Only what the panel uses is understood: up (A), clear from here on (J), colors (m).
    """
    rows, row, column = [""], 0, 0
    for number, command, line_end, text in _MOVE_OR_TEXT.findall(written):
        if command == "A":
            row -= int(number)
            assert row >= 0, "above the first line"
        elif command == "J":
            rows[row:] = [rows[row][:column]]
        elif line_end == "\r":
            column = 0
        elif line_end == "\n":
            row, column = row + 1, 0
            rows += [""] * (row + 1 - len(rows))
        elif text:
            rows[row] = rows[row][:column] + text + rows[row][column + len(text) :]
            column += len(text)
        else:
            assert command == "m", f"ESC [ {number} {command}"
    return rows
