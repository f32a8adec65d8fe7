"""What the pages of the documentation ask their readers to type: commands, settings, mentions.

A command stands in a fenced block (```bash, ```console, or without a language) or in an indented
block whose first line begins with a known program. Settings stand in ```yaml blocks, or in indented
blocks whose first line is a section of `steep.yaml`. A mention is a command or the name of a
setting in inline code. Lines of an ```output block stand in the output of the commands above it.
"""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from steep.config import Config

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for pattern in ("README.md", "CONTRIBUTING.md", "docs/*.md", "examples/*/*.md")
    for page in ROOT.glob(pattern)
)
SHELL_WORDS = "cat cd curl export git source ssh"
PROGRAMS = (
    *SHELL_WORDS.split(), "docker", "hf", "llama-server", "make", "mkdocs", "nvidia-smi",
    "ocrmypdf", "ollama", "pip", "pytest", "python", "qpdf", "ray", "sbatch", "squeue", "srun",
    "steep", "torchrun", "uv", "vllm",
)  # fmt: skip
SHELL = ("bash", "console", "sh", "shell")
_FENCE = re.compile(r"^( *)(```+|~~~+) *([\w-]*).*$")
_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
_FILES = "md|py|sh|json|jsonl|txt|parquet|yaml"
_SETTING = re.compile(rf"({'|'.join(Config.model_fields)})(\.(?!({_FILES})\b)\w+)+")


@dataclass(frozen=True, slots=True)
class Command:
    """A line that a reader types, without its comment; `output` must be in what it prints."""

    place: str
    text: str
    output: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """A part of a `steep.yaml`."""

    place: str
    text: str


@dataclass(frozen=True, slots=True)
class Mention:
    """A command or a setting that is named in a sentence or a table."""

    place: str
    text: str


@dataclass(frozen=True, slots=True)
class Block:
    """Lines of code: the language of their fence (empty for indented ones), and the first line."""

    language: str
    first_line: int
    text: str


Part = Command | Settings | Mention


def name_of(page: Path) -> str:
    """Return the path of a page in the repository."""
    return page.relative_to(ROOT).as_posix()


def parts_of(page: Path) -> list[Part]:
    """Return what a page asks its reader to type, in its order."""
    return parts_in(page.read_text(encoding="utf-8"), name_of(page))


def parts_in(text: str, name: str) -> list[Part]:
    """Return the parts of a Markdown text; places are `name:line`."""
    parts: list[Part] = []
    for block in blocks_in(text):
        place = f"{name}:{block.first_line}"
        if block.language == "prose":
            parts += _mentions(block, name)
        elif block.language == "output":
            above = next(part for part in reversed(parts) if isinstance(part, Command))
            shown = Command(above.place, above.text, tuple(block.text.splitlines()))
            parts[parts.index(above)] = shown
        elif block.language in ("yaml", "yml") or _is_settings(block):
            parts.append(Settings(place, block.text))
        elif block.language in SHELL or _is_commands(block):
            parts += _commands(block, name)
    return parts


def blocks_in(text: str) -> Iterator[Block]:
    """Split a Markdown text into code and, as blocks of the language `prose`, all the rest."""
    prose: list[str] = []
    began, lines, number = 1, text.splitlines(), 0
    while number < len(lines):
        end, language = number, None
        if fence := _FENCE.match(lines[number]):
            closing = re.compile(rf"^ *{fence[2]} *$")
            end = next(n for n in range(number + 1, len(lines)) if closing.match(lines[n])) + 1
            language, code = fence[3] or "none", lines[number + 1 : end - 1]
        elif lines[number].startswith("    ") and not (number and lines[number - 1].strip()):
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
                end += 1
            language, code = "", lines[number:end]
        if language is None:
            prose.append(lines[number])
            number += 1
            continue
        if any(line.strip() for line in prose):
            yield Block("prose", began, "\n".join(prose))
        first = number + 1 + bool(language)
        yield Block(language, first, textwrap.dedent("\n".join(code)).rstrip())
        prose, began, number = [], end + 1, end
    if any(line.strip() for line in prose):
        yield Block("prose", began, "\n".join(prose))


def _is_settings(block: Block) -> bool:
    section = re.match(r"(\w+):", _first_line(block))
    return block.language in ("", "none") and bool(section and section[1] in Config.model_fields)


def _is_commands(block: Block) -> bool:
    words = _first_line(block).removeprefix("$ ").split()
    return block.language in ("", "none") and bool(words) and words[0] in PROGRAMS


def _first_line(block: Block) -> str:
    return next((line for line in block.text.splitlines() if line.strip()), "")


def _commands(block: Block, name: str) -> Iterator[Command]:
    """Yield the commands of a block; in ```console, those behind a `$`."""
    joined, place = "", ""
    for number, line in enumerate(block.text.splitlines(), block.first_line):
        if block.language == "console" and not joined and not line.startswith("$ "):
            continue
        place = place if joined else f"{name}:{number}"
        joined += line.removeprefix("$ ")
        if joined.endswith("\\"):
            joined = joined[:-1]
            continue
        if text := without_comment(joined):
            yield Command(place, text)
        joined = ""


def without_comment(line: str) -> str:
    """Return a line of a shell without the comment at its end."""
    return re.sub(r"^#.*|\s+#(\s.*|$)", "", line).strip()


def _mentions(block: Block, name: str) -> Iterator[Mention]:
    """Yield inline code that is a command or the name of a setting; spans may cross a line end."""
    # A span ends with its paragraph, or one stray backtick would turn all others around.
    for paragraph in re.finditer(r"(?:.+\n?)+", block.text):
        for span in _SPAN.finditer(paragraph[0]):
            text = " ".join(span[2].split())
            line = block.first_line + block.text.count("\n", 0, paragraph.start() + span.start())
            words = text.split()
            if (len(words) > 1 and words[0] in PROGRAMS) or _SETTING.fullmatch(text):
                yield Mention(f"{name}:{line}", text)


def words_of(command: str) -> list[str]:
    """Return the words of a command as a shell splits them."""
    return shlex.split(command)
