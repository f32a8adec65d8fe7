"""Several recipes in one project: the paper's comparison, a prompt of one's own, a plugin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from small_project import run_record, settle
from steep_command import Steep, real_steep

from steep.corpus.passage import read_passages

pytest_plugins = ["command_fixtures"]

PLUGIN = '''
from dataclasses import dataclass

from steep import Message, Range, Recipe, RecipeKind, RecipeOptions, Repeated, Step, Writer, ask


class LectureOptions(RecipeOptions):
    """Topics first, then one lecture per topic."""

    topics: int = 2


@dataclass(frozen=True)
class Topics(Step):
    writer: Writer
    name: str = "topics"
    counts = False

    def calls(self, document, answers):
        message = Message("user", (document.text, "\\n\\nList topics."))
        return Repeated(lambda n: ask("lecture", self.name, document, self.writer, [message]), 1)

    def expected_calls(self, document):
        return Range.exactly(1)

    def specimen(self, document):
        return self.calls(document, {})[0]

    def passage(self, call, text):
        return None


@dataclass(frozen=True)
class Lectures(Step):
    writer: Writer
    topics: int
    name: str = "lectures"
    needs = ("topics",)

    def calls(self, document, answers):
        (listed,) = answers["topics"]
        found = [f"{n}: {(listed or '')[:40]}" for n in range(self.topics)] if listed else []

        def make(n):
            message = Message("user", (document.text, f"\\n\\nGive a lecture on {found[n]}."))
            return ask(
                "lecture", self.name, document, self.writer, [message], subset=(found[n],)
            )

        return Repeated(make, len(found), basis=found)

    def expected_calls(self, document):
        return Range.exactly(self.topics)

    def specimen(self, document):
        message = Message("user", (document.text, "\\n\\nGive a lecture on something."))
        return ask("lecture", self.name, document, self.writer, [message])


def make(name, options, writer):
    return Recipe(name, (Topics(writer), Lectures(writer, options.topics)))


KIND = RecipeKind(LectureOptions, make)
'''


def install_plugin(folder: Path) -> None:
    """Write a package as pip leaves one: the module, and its metadata with the entry point."""
    (folder / "lecture_recipe.py").write_text(PLUGIN)
    metadata = folder / "lecture_recipe-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: lecture-recipe\nVersion: 1.0\n"
    )
    (metadata / "entry_points.txt").write_text("[steep.recipes]\nlecture = lecture_recipe:KIND\n")


def passages_by_recipe(project: Path) -> dict[str, int]:
    path = project / run_record(project)["artifacts"]["corpus"] / "passages.parquet"
    found: dict[str, int] = {}
    for passage in read_passages(path):
        found[passage.recipe] = found.get(passage.recipe, 0) + 1
    return found


def test_two_recipes_and_a_prompt_train_three_models(project: Path, steep: Steep) -> None:
    (project / "lecture.md").write_text("{document}\n\nGive a lecture about {title}.\n")
    recipes: dict[str, Any] = {
        "entigraph": {"pairs": 3},
        "rephrase": {"styles": ["easy", "hard"], "samples": 2},
        "lecture": {"template": "lecture.md", "samples": 1},
    }
    arms = {"graph": ["entigraph"], "rephrased": ["rephrase"], "both": ["rephrase", "lecture"]}
    settle(project / "steep.yaml", generate={"recipes": recipes}, train={"arms": arms})
    ended = steep("run", "--json", cwd=project)
    assert ended.code == 0, ended.err
    models = json.loads(ended.out)["scores"]["likelihood"]["models"]
    assert [model["name"] for model in models] == ["base", *arms]
    plan = json.loads(steep("plan", "--json", cwd=project).out)
    assert [(each["recipe"], each["step"], each["done"]) for each in plan["steps"]] == [
        ("entigraph", "entities", 3),
        ("entigraph", "pairs", 9),
        ("entigraph", "triplets", 0),
        ("rephrase", "texts", 12),
        ("lecture", "texts", 3),
    ]
    found = passages_by_recipe(project)
    assert found["rephrase"] > 0 and found["lecture"] > 0 and found["entigraph"] > 0
    (project / "lecture.md").write_text("{document}\n\nGive a long lecture about {title}.\n")
    again = steep("corpus", cwd=project)
    assert "because of generate.recipes.lecture.text" in again.err
    status = json.loads(steep("status", "--json", cwd=project).out)
    assert status["ledger"]["calls"] == 3 + 9 + 12 + 2 * 3


def test_a_recipe_of_an_installed_package_goes_the_whole_way(
    project: Path, tmp_path: Path, steep: Steep
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    install_plugin(site)
    settle(
        project / "steep.yaml",
        generate={"recipes": {"lecture": {"topics": 3}}},
        train={"arms": {"lecture": ["lecture"]}},
    )
    import os

    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    ended = real_steep("run", cwd=project, PYTHONPATH=path)
    assert ended.code == 0, ended.err
    assert "12 planned = 12 done" in ended.out
    assert passages_by_recipe(project)["lecture"] > 0
    wrong = steep("plan", "--set", "generate.recipes.lecture.topic=1", cwd=project, PYTHONPATH=path)
    assert wrong.code == 2 and "did you mean 'topics'?" in wrong.err
    gone = steep("plan", cwd=project)
    assert gone.code == 2 and "There is no recipe 'lecture'." in gone.err
