"""Prompts as text files: read, and filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources

from steep.core.calls import Message
from steep.documents.document import Document

DOCUMENT = "{document}"  # the document with its heading
PLACEHOLDERS = ("document", "title")  # of templates of the user
SYSTEM_END = "\n---\n"  # what stands above the first such line is the system message

_NAMES = re.compile(r"\{([a-z_]+)\}")
_PLACEHOLDER = re.compile(r"(?<![\w\\{}$^])\{([A-Za-z_]{3,})\}(?!\})")


@cache
def prompt_text(path: str) -> str:
    """Return a built-in prompt by its path below `recipes/prompts/`."""
    file = resources.files("steep.recipes") / "prompts" / path
    return file.read_text(encoding="utf-8").removesuffix("\n")


def framed(frame: str, *tasks: str) -> str:
    """Return a built-in prompt with the texts of other files in place of its `{task}`."""
    text = "\n\n".join(map(prompt_text, tasks))
    return prompt_text(frame).replace("{task}", text)


def filled(
    template: str, document: Document, language: str | None = None, **values: str
) -> tuple[Message, ...]:
    """Return the messages of a prompt about a document.

    The text before a line `---`, if there is one, is the system message. `{document}` stands for
    the document with its full title, author and year, `{title}` for that title alone; other braces
    are left as they are. The document is a message part of its own: the ledger stores it once, and
    endpoints that read it at the beginning of many prompts keep it. If `language` is given, the
    answer is asked for in it. `values` are filled in after the document, each for its name in
    braces; the part that holds them is the last one, and all before it is the same for all values.
    """
    head, line, body = template.partition(SYSTEM_END)
    if not line:
        head, body = "", template
    before, shown, after = body.partition(DOCUMENT)
    task, varying = _split_at_values(after, values)
    if language:
        varying += language_demand(language)
    text = {"title": document.full_title, **values}
    parts = (
        _replaced(before, text),
        _shown(document) if shown else "",
        _replaced(task, text),
        _replaced(varying, text),
    )
    user = Message("user", tuple(part for part in parts if part))
    return (Message("system", (_replaced(head, text),)), user) if head else (user,)


def language_demand(language: str) -> str:
    """Return the end of the prompt about a document that is not in English."""
    return f"\n\nThe document is in {language}. Write the whole answer in {language}."


def _split_at_values(text: str, values: Mapping[str, str]) -> tuple[str, str]:
    """Split a text before the line of the first value, so that what is before never varies."""
    places = [text.index(f"{{{name}}}") for name in values if f"{{{name}}}" in text]
    if not places:
        return text, ""
    line = text.rfind("\n", 0, min(places)) + 1
    return text[:line], text[line:]


def _replaced(text: str, values: Mapping[str, str]) -> str:
    """Fill in values, each for its name in braces, in one pass: no value is filled in itself."""
    return _NAMES.sub(lambda match: values.get(match[1], match[0]), text)


def unknown_placeholder(template: str) -> str | None:
    """Return the first name in braces that stands for nothing, or None.

    Braces of JSON, of LaTeX and of code are none: those after a letter, a sign of theirs, or
    another brace.
    """
    names = (match[1] for match in _PLACEHOLDER.finditer(template))
    return next((name for name in names if name not in PLACEHOLDERS), None)


def _shown(document: Document) -> str:
    return f"{document.heading}\n{document.text}"
