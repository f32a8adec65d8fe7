"""Find the finished artifacts of a configuration, without making any."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from steep.config import Config
from steep.core.artifacts import Artifact, Project, Unfinished
from steep.stages import corpus, documents, generate, instruct, tokenize, train

log = logging.getLogger("steep")

# The stages in the order in which `Finished.reached` grows, then those of scaling studies.
MADE = ("documents", "generate", "corpus", "tokenize", "train", "instruct", "subset")


@dataclass(frozen=True)
class ReadOnlyProject(Project):
    """A project in which nothing is made, with a record of what was looked for."""

    seen: set[str] = field(default_factory=set)

    def may_make(self, stage: str) -> bool:
        """Return False: not even cheap artifacts are made."""
        return False

    def find(self, stage: str, hash8: str) -> Artifact | None:
        """Return the finished artifact, or None, and record its name."""
        self.seen.add(self.artifact_path(stage, hash8).name)
        return super().find(stage, hash8)


@dataclass
class Finished:
    """The finished artifacts of a configuration.

    Attributes:
        seen: Names of all directories that were looked for.
        reached: Finished stages before training, in order. The inputs of stages after a missing one
            are unknown.
        before_shards: Those of them that have one artifact: documents, generate and corpus.
        shards: As `tokenize.run_all` returns them; none where one is missing.
        trained: Trained models, by name.
        tuned: Those of them that are tuned, by the same name.
    """

    seen: set[str]
    reached: list[str] = field(default_factory=list)
    before_shards: dict[str, Artifact] = field(default_factory=dict)
    shards: dict[str, Artifact] = field(default_factory=dict)
    trained: dict[str, Artifact] = field(default_factory=dict)
    tuned: dict[str, Artifact] = field(default_factory=dict)


def look(config: Config, project: Project) -> Finished:
    """Return the finished artifacts of a configuration; nothing is written.

    Raises:
        UserError: An arm reads what the corpus does not have.
    """
    looking = ReadOnlyProject(project.root, finished_only=True)
    found = Finished(looking.seen)
    with without_log_lines(), suppress(Unfinished):
        _look(config, looking, found)
    return found


@contextmanager
def without_log_lines() -> Iterator[None]:
    """Turn off the log lines of stages, which a plan or a status should not print."""
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _look(config: Config, looking: ReadOnlyProject, found: Finished) -> None:
    made = found.before_shards
    made["documents"] = read = documents.run(config, looking)
    found.reached.append("documents")
    texts = generate.run(config, looking, read)
    if texts is not None:  # None where no calls are planned
        made["generate"] = texts
    found.reached.append("generate")
    if not looking.ledger_path.is_file():
        return  # a corpus is never without one, and looking at it would make one
    made["corpus"] = passages = corpus.run(config, looking, read, texts)
    found.reached.append("corpus")
    found.shards = tokenize.run_all(config, looking, passages)
    found.reached.append("tokenize")
    for name in config.train.models:
        with suppress(Unfinished):
            found.trained[name] = train.run(config, looking, found.shards, name)
    for name in instruct.models_of(config):
        if name in found.trained:
            with suppress(Unfinished):
                chats, trained = found.shards[tokenize.CHATS], found.trained[name]
                found.tuned[name] = instruct.run(config, looking, trained, chats, name)
