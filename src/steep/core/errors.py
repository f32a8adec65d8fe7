"""The one exception that a user is meant to read: what was expected, found, where, what to do."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can put right: printed without a traceback, exit code 2.

    Args:
        problem: One sentence that says what is wrong, with the offending value in it.
        where: `file:key`, `file:line`, a path or an address.
        expected: What would have been accepted.
        found: What was there instead.
        hint: The next thing to do.
    """

    def __init__(
        self,
        problem: str,
        *,
        where: object = None,
        expected: object = None,
        found: object = None,
        hint: str | None = None,
    ) -> None:
        self.problem = problem
        lines = [problem]
        for label, value in (("where", where), ("expected", expected), ("found", found)):
            if value is not None:
                lines.append(f"  {label + ':':<10}{value}")
        if hint is not None:
            lines.append(f"  {'do:':<10}{hint}")
        super().__init__("\n".join(lines))
