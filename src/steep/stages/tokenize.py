"""Stage 4: passages become token shards: one for each arm, for replay, chats and validation."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from steep.config import Config
from steep.core.arms import PART, recipe_of
from steep.core.artifacts import Artifact, Project
from steep.core.calls import RAW_RECIPE
from steep.core.errors import UserError
from steep.documents.general_text import KINDS, builtin_texts, general_texts
from steep.ledger.ledger import Ledger
from steep.llm.model_names import model_directory
from steep.tokens.build import CHATS as CHATS
from steep.tokens.build import INSTRUCTION, REPLAY, VALIDATION, ShardBuilder, check_chats
from steep.tokens.sources import EVERY
from steep.training.loading import load_tokenizer

NO_REPLAY = "correct the path, or set train.replay_rate to 0"


def check(config: Config, project: Project) -> None:
    """Refuse arms and replay texts that cannot be tokenized, before anything is spent.

    Raises:
        UserError: An arm reads an unknown recipe, or there is no replay text.
    """
    if config.train.replay_rate > 0 and not replay_path(config).is_file():
        raise UserError(
            "There is no replay text.",
            where=f"tokenize.replay: {replay_path(config)}",
            expected=KINDS,
            found="no such file",
            hint=NO_REPLAY,
        )
    if config.train.instruction_rate > 0:
        hint = "name a file, or set train.instruction_rate to 0"
        check_chats(config.tokenize.instructions, "tokenize.instructions", hint)
    for arm, sources in config.train.arms.items():
        if isinstance(sources, dict):
            _check_overlap(arm, sources)
    if (error := unknown_source(config, project)) is not None:
        raise error


def unknown_source(config: Config, project: Project) -> UserError | None:
    """Return why an arm cannot read a recipe: it has no texts, and will get none; or None."""
    arms = {name: arm for arm, names in config.train.reads.items() for name in names}
    known = {RAW_RECIPE, *config.generate.recipes}
    if unknown := arms.keys() - known:
        known |= imported_recipes(project)
    names = sorted(known)
    for name in sorted(unknown - known):
        near = difflib.get_close_matches(name, names, n=1)
        return UserError(
            f"The arm '{arms[name]}' reads '{name}', a recipe without any texts.",
            where=f"train.arms.{arms[name]}",
            expected=", ".join(names),
            found=name,
            hint=f"did you mean '{near[0]}'?" if near else "steep import --generations FILE",
        )
    return None


def _check_overlap(arm: str, sources: Iterable[str]) -> None:
    """Refuse an arm with shares of which two have the same texts."""
    parts = {
        recipe: [each for each in sources if recipe_of(each) == recipe]
        for recipe in map(recipe_of, sources)
    }
    for recipe, names in parts.items():
        if len(names) > 1 and {recipe, recipe + PART + EVERY} & set(names):
            raise UserError(
                f"The arm '{arm}' has two shares for the same texts.",
                where=f"train.arms.{arm}",
                expected=f"'{recipe}', '{recipe}{PART}{EVERY}', or parts of it by their names",
                found=", ".join(names),
            )


def run_all(config: Config, project: Project, corpus: Artifact) -> dict[str, Artifact]:
    """Tokenize everything; return the shards by the names of arms and of their other uses."""
    settings, train = config.tokenize, config.train
    replay = replay_path(config)
    builder = ShardBuilder(
        project, train.model, lambda: load_tokenizer(model_directory(train.model, project))
    )
    shards, read = {}, set[str]()
    for arm, sources in train.arms.items():
        if isinstance(sources, dict):
            from steep.tokens.mix import build_mix  # it loads numpy

            shards[arm] = build_mix(builder, arm, corpus, sources, settings.holdout)
            read |= {each["source"] for each in shards[arm].manifest["mix"]}
        else:
            shards[arm] = builder.arm(arm, corpus, sources, settings.holdout)
            read |= {*sources}
    texts = partial(replay_texts, replay) if train.replay_rate else None
    if texts is not None:
        shards[REPLAY] = builder.replay(replay, texts, settings.holdout)
    if settings.holdout:
        shards[VALIDATION] = builder.validation(corpus, read, settings.holdout, texts)
    if train.instruction_rate and settings.instructions is not None:
        shards[INSTRUCTION] = builder.chats(INSTRUCTION, settings.instructions, "all")
    if config.instruct.chats is not None:
        shards[CHATS] = builder.chats(CHATS, config.instruct.chats, config.instruct.loss_on)
    return shards


def replay_path(config: Config) -> Path:
    """Return the file of general text that is mixed in."""
    replay = config.tokenize.replay
    return replay if isinstance(replay, Path) else builtin_texts()


def replay_texts(path: Path) -> Iterator[str]:
    """Stream the replay texts of a file."""
    return general_texts(path, "tokenize", "tokenize.replay", "replay text", NO_REPLAY)


def imported_recipes(project: Project) -> set[str]:
    """Return the recipes of imported texts."""
    if not project.ledger_path.is_file():
        return set()
    with Ledger(project.ledger_path, read_only=True) as ledger:
        return {record.recipe for record in ledger.imported()}
