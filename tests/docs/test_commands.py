"""Every command of README.md, docs/ and examples/ runs, in the order in which a reader types it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_parsing import check_setting, parse_command
from command_rules import RULES, check_packages, rule_for
from docs_server import DocsServer
from documentation import PAGES, ROOT, Command, Mention, Settings, name_of, parts_of
from page_setups import SETUPS, Setup
from page_world import TOKENS, World, check_output, parse_line, tree_of
from small_project import write_project
from steep_command import Steep

from steep.testing.tiny_corpus import write_tiny_corpus

pytest_plugins = ["command_fixtures"]

NAMES = [name_of(page) for page in PAGES]
WITH_COMMANDS = [
    name_of(page) for page in PAGES if any(isinstance(part, Command) for part in parts_of(page))
]


@pytest.fixture(scope="module")
def addresses() -> Iterator[tuple[str, str]]:
    with DocsServer() as one, DocsServer() as other:
        yield one.base_url, other.base_url


@pytest.fixture(scope="module")
def configured(
    tmp_path_factory: pytest.TempPathFactory, addresses: tuple[str, str], tiny_directory: Path
) -> Path:
    """A project in which nothing was done yet."""
    folder = tmp_path_factory.mktemp("docs") / "project"
    return write_project(folder, addresses[0], tiny_directory, train={"tokens": TOKENS}).parent


@pytest.fixture(scope="module")
def finished(configured: Path, steep: Steep) -> Path:
    """A project that `steep run` has finished."""
    folder = Path(shutil.copytree(configured, configured.parent / "finished"))
    ended = steep("run", cwd=folder)
    assert ended.code == 0, ended.err
    return folder


@pytest.fixture
def world(
    request: pytest.FixtureRequest, tmp_path: Path, addresses: tuple[str, str], steep: Steep,
    tiny_directory: Path,
) -> World:  # fmt: skip
    """The project in which the commands of a page run."""
    setup = SETUPS.get(request.param, Setup())
    folder = tmp_path / "project"
    if setup.start in ("configured", "finished"):
        shutil.copytree(request.getfixturevalue(setup.start), folder, symlinks=True)
    else:
        folder.mkdir()
    if setup.start == "documents":
        write_tiny_corpus(folder)
    setup.prepare(folder)
    return World(steep, addresses, tiny_directory, folder, setup.keep)


@pytest.mark.parametrize(("world", "name"), [(n, n) for n in WITH_COMMANDS], indirect=["world"])
def test_the_commands_of_a_page_run(world: World, name: str) -> None:
    words = SETUPS.get(name, Setup()).words
    for part in parts_of(ROOT / name):
        if isinstance(part, Settings):
            world.apply(part)
        elif isinstance(part, Command):
            run(world, part, substituted(part.text, words))


def run(world: World, command: Command, text: str) -> None:
    """Run a command of a page as its rule says."""
    rule = rule_for(text)
    assert rule is not None, f"{command.place}: command_rules.py has no rule for: {text}"
    line = parse_line(with_hashes(text, world.folder))
    world.variables |= line.variables
    try:
        said = rule.run(world, line.words)
    except AssertionError as error:
        raise AssertionError(f"{command.place}: {error}") from None
    if line.output:
        (world.folder / line.output).write_text(said)
    check_output(command, said)


def substituted(text: str, words: dict[str, str] | object) -> str:
    """Put values in the place of what the reader chooses."""
    assert isinstance(words, dict)
    for word, value in words.items():
        text = re.sub(rf"(?<![\w-]){re.escape(word)}(?![\w-])", value, text)
    return text


def with_hashes(text: str, folder: Path) -> str:
    """Name the artifact that exists in the place of one with `<hash>` in its name."""
    for path in re.findall(r"[\w./-]*<hash>[\w./-]*", text):
        found = sorted(folder.glob(path.replace("<hash>", "*")))
        assert found, f"there is no {path}"
        text = text.replace(path, str(found[-1].relative_to(folder)))
    return text


@pytest.mark.parametrize("name", NAMES)
def test_settings_and_mentions_of_a_page_exist(name: str) -> None:
    for part in parts_of(ROOT / name):
        if isinstance(part, Settings):
            tree_of(part)
        elif isinstance(part, Mention):
            check_mention(part)


def check_mention(mention: Mention) -> None:
    """Check a command or a setting that a sentence names."""
    try:
        words = parse_line(mention.text).words
        if " " not in mention.text:
            check_setting(mention.text)
        elif words[0] == "steep":
            parse_command(words)
        elif words[:2] == ["pip", "install"]:
            check_packages([*words, "..."] if words[2:] == [] else words)
        else:
            assert rule_for(mention.text), "command_rules.py has no rule for it"
    except AssertionError as error:
        raise AssertionError(f"{mention.place}: `{mention.text}`: {error}") from None


def test_every_rule_and_every_setup_is_used() -> None:
    texts = [
        (name, substituted(part.text, SETUPS.get(name, Setup()).words), part.text)
        for name in NAMES
        for part in parts_of(ROOT / name)
        if isinstance(part, Command | Mention)
    ]
    used = {id(rule_for(text)) for _, text, _ in texts}
    assert [rule.pattern for rule in RULES if id(rule) not in used] == []
    for name, setup in SETUPS.items():
        assert name in NAMES, f"there is no page {name}"
        for word in setup.words:
            assert any(page == name and word in text for page, _, text in texts), (name, word)
