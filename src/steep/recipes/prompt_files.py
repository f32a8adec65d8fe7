"""Prompts as text files: read, and filled in."""

from __future__ import annotations

from functools import cache
from importlib import resources

from steep.core.calls import Message
from steep.documents.document import Document

DOCUMENT = "{document}"  # the document with its heading
SYSTEM_END = "\n---\n"  # what stands above the first such line is the system message


@cache
def prompt_text(path: str) -> str:
    """Return a built-in prompt by its path below `recipes/prompts/`."""
    file = resources.files("steep.recipes") / "prompts" / path
    return file.read_text(encoding="utf-8").removesuffix("\n")


def filled(template: str, document: Document, language: str | None = None) -> tuple[Message, ...]:
    """Return the messages of a prompt about a document.

    The text before a line `---`, if there is one, is the system message. `{document}` stands for
    the document with its title, author and year, `{title}` for its title alone; other braces are
    left as they are. The document is a message part of its own: the ledger stores it once, and
    endpoints that read it at the beginning of many prompts keep it. If `language` is given, the
    answer is asked for in it.
    """
    head, line, body = template.partition(SYSTEM_END)
    if not line:
        head, body = "", template
    before, shown, after = body.partition(DOCUMENT)
    ending = f"\n\nThe document is in {language}. Write the whole answer in {language}."
    parts = (before, _shown(document) if shown else "", after, ending if language else "")
    texts = [
        part if at == 1 else part.replace("{title}", document.title)
        for at, part in enumerate(parts)
    ]
    user = Message("user", tuple(text for text in texts if text))
    return (
        (Message("system", (head.replace("{title}", document.title),)), user) if head else (user,)
    )


def _shown(document: Document) -> str:
    return f"{document.heading}\n{document.text}"
