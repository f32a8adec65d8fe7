"""The project in which the commands of a page run, and the shell that runs them."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from documentation import Command, Settings
from small_project import settle
from steep_command import PATIENCE_S, Ended, Steep, environment

from steep.config_loading import ConfigSource, load_config, parse_config
from steep.core.yaml_reading import parse_yaml

PRICES = {"usd_per_million_input_tokens": 1.0, "usd_per_million_output_tokens": 2.0}
# What every page's settings become here, whatever they say; a page's own text is validated first.
SIZES: dict[str, dict[str, Any]] = {
    "generate": {"concurrency": 4, "max_tokens": 300, "max_attempts": 2, "timeout_s": 30}
    | {"batch_poll_s": 0.01, **PRICES},
    "train": {"context_tokens": 64, "batch_sequences": 4, "micro_batch_sequences": 2}
    | {"learning_rate": 1e-3, "compute": "auto", "compile": "none"},
    "instruct": {"context_tokens": 32, "batch_sequences": 2},
    "forgetting": {"context_tokens": 64},
}
TOKENS = 2 * 4 * 64  # of each trained model: two steps
ENGINES_ELSEWHERE = ("vllm", "ray", "transformers", "embedded")  # the scripted endpoint writes


class Line(NamedTuple):
    """A command split as a shell does: NAME=value before it, its words, `> file` after it."""

    variables: dict[str, str]
    words: list[str]
    output: str | None


def parse_line(text: str) -> Line:
    """Split a command; pipes and the like are not understood, so pages do not use them."""
    words = shlex.split(text)
    assert not {"|", "&&", "||", ";", "&", "<"} & set(words), f"one command per line: {text}"
    variables = {}
    while words and (match := re.fullmatch(r"([A-Z_]+)=(.*)", words[0])):
        variables[match[1]] = match[2]
        words.pop(0)
    output = words.pop() if len(words) > 2 and words[-2] == ">" else None
    return Line(variables, words[:-1] if output else words, output)


@dataclass
class World:
    """A project, the endpoints that its configuration is sent to, and the user's environment."""

    steep: Steep
    addresses: tuple[str, str]
    model: Path
    folder: Path
    keep: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.folder / "steep.yaml"

    def run(self, words: list[str], **variables: str) -> str:
        """Run `steep` and return all that it said; it has to succeed."""
        return self.succeeded(words, self.steep(*words, cwd=self.folder, **self._all(variables)))

    def run_program(self, words: list[str], **variables: str) -> str:
        """Run another program; none of its processes outlives it."""
        process = subprocess.Popen(
            words, cwd=self.folder, env=environment(**self._all(variables)), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        try:
            out, err = process.communicate(timeout=PATIENCE_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        return self.succeeded(words, Ended(process.returncode, out, err))

    def succeeded(self, words: list[str], ended: Ended) -> str:
        said = f"{ended.out}{ended.err}"
        assert ended.code == 0, f"{shlex.join(words)}: exit code {ended.code}\n{said}"
        return said

    def _all(self, variables: Mapping[str, str]) -> dict[str, str]:
        return {**self.variables, **variables}

    def apply(self, settings: Settings) -> None:
        """Put the settings of a page into `steep.yaml`, in the sizes of a test."""
        tree = tree_of(settings)
        self._name_keys(tree)
        if not self.config.exists():
            self.config.write_text("documents: {path: documents}\n")
        own = {name: value for name, value in tree.items() if not isinstance(value, dict)}
        sections = {name: value for name, value in tree.items() if name not in own}
        self.config.write_text(
            yaml.safe_dump(yaml.safe_load(self.config.read_text()) | own, sort_keys=False)
        )
        settle(self.config, **sections)
        self.shrink()

    def shrink(self, config: Path | None = None) -> None:
        """Replace addresses, models and sizes in a configuration; the rest stays as it is."""
        config = config or self.config
        tree = self._redirected(yaml.safe_load(config.read_text()))
        self._name_keys(tree)
        generate = tree["generate"] = tree.get("generate") or {}
        generate |= {"base_url": self._address(generate.get("base_url")), "model": "scripted"}
        if generate.get("engine") in ENGINES_ELSEWHERE:
            generate["engine"] = "openai"
        tree["train"] = (tree.get("train") or {}) | {"model": str(self.model), "tokens": TOKENS}
        tree["train"].pop("epochs", None)
        for name, fields in (*SIZES.items(), *self.keep.items()):
            tree[name] = (tree.get(name) or {}) | dict(fields)
        config.write_text(yaml.safe_dump(tree, sort_keys=False))
        load_config(config)

    def _redirected(self, value: Any) -> Any:
        """Let every endpoint of a configuration be the scripted one."""
        if isinstance(value, list):
            return [self._redirected(each) for each in value]
        if not isinstance(value, dict):
            return value
        value = {key: self._redirected(each) for key, each in value.items()}
        if "base_url" in value:
            value |= {"base_url": self._address(value["base_url"]), "model": "scripted", **PRICES}
        return value

    def _address(self, given: Any) -> Any:
        return list(self.addresses) if isinstance(given, list) else self.addresses[0]

    def _name_keys(self, value: Any) -> None:
        """Set the environment variables in which a configuration looks for keys."""
        if isinstance(value, dict):
            if name := value.get("api_key_env"):
                self.variables[name] = "a-key-of-the-test"
            for each in value.values():
                self._name_keys(each)


def tree_of(settings: Settings) -> dict[str, Any]:
    """Return the settings of a page, which have to be valid as they are printed."""
    tree = parse_yaml(settings.text)
    assert isinstance(tree, dict), settings.place
    source = ConfigSource(Path(settings.place))
    recipes = (tree.get("generate") or {}).get("recipes") or {}
    templates = [name for name, each in recipes.items() if each and "template" in each]
    shown = {"documents": {"path": "documents"}} | tree
    if templates:  # their files do not exist here
        shown["generate"] = tree["generate"] | {
            "recipes": {name: each for name, each in recipes.items() if name not in templates}
        }
    parse_config(shown, source)
    return tree


def check_output(command: Command, said: str) -> None:
    """Compare an ```output block with what was printed, apart from numbers and white space."""

    def masked(line: str) -> str:
        return " ".join(re.sub(r"\d[\d,.:]*", "0", line).split())

    printed = {masked(line) for line in said.splitlines()}
    for line in command.output:
        if line.strip() not in ("", "..."):
            assert masked(line) in printed, f"{command.place} does not print: {line}\n{said}"
