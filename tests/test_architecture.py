"""The walls of the house: who may import whom, how light the command is, what the demo holds."""

from __future__ import annotations

import ast
import json
import re
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import pytest

import steep

PACKAGE = Path(steep.__file__).parent

# Packages in the order of the data; beside them are config and testing.
# A module may import its own package, those named here, and `steep` itself (the version).
MAY_IMPORT: dict[str, set[str]] = {
    "core": set(),
    "config": {
        "core", "documents", "generation", "corpus", "tokens", "training", "evaluation", "scaling",
    },
    "config_loading": {"core", "config", "generation", "recipes"},
    "documents": {"core"},
    "recipes": {"core", "documents"},
    "llm": {"core"},
    "ledger": {"core", "llm"},
    "generation": {"core", "documents", "recipes", "llm", "ledger"},
    "corpus": {"core", "documents", "ledger"},
    "tokens": {"core", "corpus"},
    "training": {"core", "tokens"},
    "retrieval": {"core", "documents", "llm", "ledger"},
    "evaluation": {"core", "documents", "llm", "ledger", "retrieval", "training"},
    "scaling": {"core", "evaluation"},
    "report": {"core", "corpus", "evaluation", "scaling"},
    "stages": {
        "core", "config", "config_loading", "documents", "recipes", "llm", "ledger",
        "generation", "corpus", "tokens", "training", "retrieval", "evaluation", "scaling",
        "report",
    },
    "cli": {
        "core", "config", "config_loading", "documents", "recipes", "llm", "ledger", "generation",
        "corpus", "tokens", "training", "retrieval", "evaluation", "scaling", "report", "stages",
    },
    "testing": {"core"},
    "__init__": {  # names of the public API
        "core", "config", "config_loading", "documents", "recipes", "corpus", "evaluation",
    },
    "__main__": {"cli"},
}  # fmt: skip

HEAVY = {"torch", "transformers", "aiohttp", "pyarrow", "numpy", "scipy"}


class Import(NamedTuple):
    """`module` of ours, imported at `line`, by whatever part of the file."""

    line: int
    module: str


def imports_of(source: str) -> Iterator[Import]:
    """All imports of our own modules: at the top, in functions, and for type checkers only."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative imports hide where they lead"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (Import(node.lineno, name) for name in names if name.split(".")[0] == "steep")


def violations(source: str, room: str) -> list[Import]:
    """The imports in a file of `room` that the table does not allow."""
    rooms = MAY_IMPORT[room] | {room, "__version__"}
    return [found for found in imports_of(source) if found.module.split(".")[1] not in rooms]


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_module_imports_only_what_the_table_allows(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    found = [f"{path}:{line}: {module}" for line, module in violations(source, room_of(path))]
    assert not found, f"'{room_of(path)}' may not import these: {found}"
    assert ast.get_docstring(ast.parse(source)), f"{path} does not say what it is"


def test_the_table_names_every_room_and_no_other() -> None:
    assert {room_of(path) for path in MODULES} == set(MAY_IMPORT)


def test_the_table_has_no_circle() -> None:
    done: set[str] = set()
    while left := MAY_IMPORT.keys() - done:
        ready = {room for room in left if MAY_IMPORT[room] <= done}
        assert ready, f"these import one another: {sorted(left)}"
        done |= ready


@pytest.mark.parametrize(
    "planted",
    [
        "import steep.corpus.build",
        "from steep.corpus.build import build_corpus",
        "from steep import corpus",
        "def late():\n    from steep.corpus import build",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from steep.corpus import store",
    ],
)
def test_a_planted_violation_is_found(planted: str) -> None:
    assert violations(planted, "documents")
    assert not violations(planted, "stages")


def loaded_by(code: str) -> set[str]:
    """The heavy packages that a fresh process has loaded after `code`."""
    script = f"import sys\n{code}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    return HEAVY & set(done.stdout.split())


def test_the_table_of_verbs_loads_nothing_heavy() -> None:
    assert loaded_by("import steep.cli.app") == set()


def test_stages_load_what_they_need_only_when_they_run() -> None:
    assert loaded_by("import steep.stages.pipeline, steep.stages.status") == set()


SMALLEST_HELP = """
import typer
app = typer.Typer(add_completion=False)
app.command("a")(lambda: None)
app.command("b")(lambda: None)
app()
"""


def processor_s(arguments: list[str]) -> float:
    """Return the processor time of a Python command, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, *arguments, "--help"]
    subprocess.run(command, capture_output=True, check=True, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_costs_little_more_than_the_smallest_help() -> None:
    """An absolute time would depend on the machine; the ratio does not."""
    pairs = [(processor_s(["-m", "steep"]), processor_s(["-c", SMALLEST_HELP])) for _ in range(5)]
    ratio = min(ours for ours, _ in pairs) / min(smallest for _, smallest in pairs)
    assert ratio < 2, pairs


# The demo: five articles and the questions on them.

DEMO = Path(str(resources.files("steep") / "demo"))
TEXTS = {path.stem: path.read_text(encoding="utf-8") for path in (DEMO / "documents").iterdir()}
QUESTIONS = [json.loads(line) for line in (DEMO / "questions.jsonl").read_text().splitlines()]


def words_of(text: str) -> set[str]:
    """Words and numbers, in the singular."""
    return {word.removesuffix("s") for word in re.findall(r"[\w,]*\w", text.casefold())}


def body_of(text: str) -> str:
    return text.partition("\n")[2]


def test_demo_documents_are_short_and_dense() -> None:
    lengths = {name: len(body_of(text).split()) for name, text in TEXTS.items()}
    assert len(lengths) == 5
    assert all(90 <= length <= 130 for length in lengths.values()), lengths


def test_demo_questions_are_spread_over_kinds_documents_and_positions() -> None:
    assert len(QUESTIONS) == 180 == len({question["id"] for question in QUESTIONS})
    for first, last in ((0, 60), (60, 180)):  # `steep demo --quick` asks the first 60
        questions = QUESTIONS[first:last]
        kinds = Counter(question["kind"] for question in questions)
        assert [*kinds.values()] == [len(questions) // 3] * 3
        by_document = Counter(question["document_id"] for question in questions)
        assert by_document == dict.fromkeys(TEXTS, len(questions) // 5)
        for kind, number in kinds.items():
            gold = Counter(question["gold"] for question in questions if question["kind"] == kind)
            assert len(gold) == 4 and max(gold.values()) <= number / 2, (kind, gold)
    assert all(40 <= number <= 50 for number in Counter(q["gold"] for q in QUESTIONS).values())


def test_demo_options_are_four_and_differ() -> None:
    for question in QUESTIONS:
        assert len({option.casefold() for option in question["options"]}) == 4, question
    assert len({question["question"] for question in QUESTIONS}) == 180


def test_demo_answers_are_in_the_corpus_and_not_in_the_question() -> None:
    corpus = words_of("\n".join(TEXTS.values()))
    inferred = []
    for question in QUESTIONS:
        gold = question["options"][question["gold"]]
        assert gold.casefold() not in question["question"].casefold(), question
        if not words_of(gold) <= corpus:
            inferred.append(question["id"])
    assert len(inferred) <= 0.1 * len(QUESTIONS), inferred  # once a year, string instruments


def test_recorded_texts_are_about_the_demo_documents() -> None:
    rows = [json.loads(line) for line in (DEMO / "generations.jsonl").read_text().splitlines()]
    by_recipe = Counter((row["recipe"], row["document_id"]) for row in rows)
    assert by_recipe == {("entigraph-large", each): 32 for each in TEXTS} | {
        ("qa-large", each): 36 for each in TEXTS
    }
    assert all(set(row) == {"document_id", "recipe", "model", "sample", "text"} for row in rows)
    asked = {question["question"].casefold() for question in QUESTIONS}
    # Their writer had not seen the questions, but two people may ask the same: one text does so
    # (README). Of the question-answer texts, which no model of the demo reads, six do.
    told = " ".join(row["text"].casefold() for row in rows if row["recipe"] == "entigraph-large")
    found = [question for question in asked if question in told]
    assert found == ["which instrument did the builder of the old candle play?"]
