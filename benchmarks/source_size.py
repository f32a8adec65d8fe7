"""The size of the source: lines by kind, long functions, and names of classes that exist twice.

    python benchmarks/source_size.py [FOLDER]

Lines of code include imports; comments count as code.
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections import Counter
from pathlib import Path

MOST_LINES = 50  # of a function
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def docstring_lines(tree: ast.Module) -> set[int]:
    """Return the numbers of all lines of docstrings."""
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            first = node.body[0]
            found |= {*range(first.lineno, (first.end_lineno or first.lineno) + 1)}
    return found


def main() -> None:
    """Print the figures."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("src")
    kinds: Counter[str] = Counter()
    classes: Counter[str] = Counter()
    functions: list[tuple[int, str]] = []
    for path in sorted(root.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        inside = docstring_lines(tree)
        for number, line in enumerate(text.splitlines(), start=1):
            blank = number not in inside and not line.strip()
            kinds["docstring" if number in inside else "blank" if blank else "code"] += 1
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                classes[node.name] += 1
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = (node.end_lineno or node.lineno) - node.lineno + 1
                functions.append((size, f"{path}:{node.lineno} {node.name}"))
    print(f"{kinds.total():,} lines = {', '.join(f'{n:,} {kind}' for kind, n in kinds.items())}")
    print(f"{len(functions):,} functions, median {statistics.median(n for n, _ in functions):g}")
    print(*(f"{n} lines: {name}" for n, name in sorted(functions) if n > MOST_LINES), sep="\n")
    print("classes of one name:", *(name for name, n in classes.items() if n > 1))


if __name__ == "__main__":
    main()
