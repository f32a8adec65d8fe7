"""Read YAML with the scalars of YAML 1.2, no duplicate keys, and clear errors."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from steep.core.errors import UserError


class _RepeatedKeyError(yaml.constructor.ConstructorError):
    """A key that stands twice in a section; the problem names both lines."""

    def __init__(self, first: yaml.Node, second: yaml.Node, value: yaml.Node) -> None:
        begin, again = first.start_mark.line + 1, second.start_mark.line + 1
        where = f"in line {begin}" if begin == again else f"in lines {begin} and {again}"
        super().__init__(None, None, f"the key '{second.value}' stands here twice, {where}")
        is_section = isinstance(value, yaml.MappingNode)
        self.hint = "merge the two blocks into one" if is_section else "remove one of the two"


class _StrictLoader(yaml.SafeLoader):
    """A loader with YAML 1.2 scalars that refuses duplicate keys.

    PyYAML reads YAML 1.1, in which `no` is false, `010` is 8, `1:30` is 90 and `1e6` is a text.
    """

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  (PyYAML declares it so)

    def construct_document(self, node: yaml.Node) -> Any:
        self.deep_construct = True  # so that an alias inside its own anchor is an error
        return super().construct_document(node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None,
                    None,
                    "a section stands here where a text was expected; a placeholder like "
                    "{{ NAME }} must be filled in, and a text that begins with { needs quotes",
                    key.start_mark,
                )
            if key.value in seen and key.tag != MERGE:
                raise _RepeatedKeyError(seen[key.value], key, value)
            seen[key.value] = key
        return super().construct_mapping(node, deep)

    def construct_decimal(self, node: yaml.ScalarNode) -> int:
        return int(str(node.value).replace("_", ""))


MERGE, INT = "tag:yaml.org,2002:merge", "tag:yaml.org,2002:int"
_StrictLoader.add_constructor(INT, _StrictLoader.construct_decimal)
for _tag, _pattern, _first in (
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    (INT, r"[-+]?[0-9][0-9_]*", list("-+0123456789")),
    (
        "tag:yaml.org,2002:float",
        r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+0123456789."),
    ),
    (MERGE, r"<<", ["<"]),
):
    _StrictLoader.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern})$"), _first)


def parse_yaml(text: str | bytes) -> Any:
    """Parse a value or a whole file.

    Raises:
        yaml.YAMLError: It is not YAML.
    """
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except RecursionError:
        problem = "its lists or sections are nested too deep"
        raise yaml.constructor.ConstructorError(None, None, problem) from None


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a file of sections, in UTF-8 or UTF-16.

    Raises:
        UserError: It is not YAML, or holds anything else than sections.
    """
    try:
        tree = parse_yaml(path.read_bytes()) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _not_yaml(path, error) from error
    if not isinstance(tree, dict):
        raise UserError("Expected sections at the top level.", where=path, found=tree)
    return tree


def _not_yaml(path: Path, error: yaml.YAMLError | UnicodeDecodeError) -> UserError:
    """Return an error with the problem, its line and a hint."""
    problem = getattr(error, "problem", None) or str(error)
    mark = getattr(error, "problem_mark", None)
    if "'\\t'" in problem:
        hint = "indent with spaces; a tab stands there"
    elif isinstance(error, _RepeatedKeyError):
        hint = error.hint
    elif "found another document" in problem:
        problem, hint = "a second document", "remove the line --- and merge the sections"
    else:
        undecoded = isinstance(error, (UnicodeDecodeError, yaml.reader.ReaderError))
        hint = "save the file as UTF-8" if undecoded else "correct that line"
        if begin := getattr(error, "context_mark", None):
            context = getattr(error, "context", "")
            problem += f" ({context}, which begins in line {begin.line + 1})"
    return UserError(
        "This is not valid YAML.",
        where=path,
        found=f"{problem}, in line {mark.line + 1}" if mark else problem,
        hint=hint,
    )
