"""Stage 4: passages become token shards: one for each arm, for replay, chats and validation."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

from steep.config import Config
from steep.core.artifacts import Artifact, Project
from steep.core.calls import RAW_RECIPE
from steep.core.errors import UserError
from steep.core.files import content_hash
from steep.documents.general_text import KINDS, builtin_texts, general_texts
from steep.ledger.ledger import Ledger
from steep.llm.model_names import model_directory
from steep.tokens.build import CHATS as CHATS
from steep.tokens.build import (
    INSTRUCTION,
    REPLAY,
    VALIDATION,
    ShardBuilder,
    Texts,
    check_chats,
    check_recipes,
    digest,
    draw,
    is_held_out,
    passages_of,
)
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
    arms = {name: arm for arm, names in config.train.arms.items() for name in names}
    known = {RAW_RECIPE, *config.generate.recipes}
    if unknown := arms.keys() - known:
        known |= _imported_recipes(project)
    names = sorted(known)
    for name in sorted(unknown - known):
        near = difflib.get_close_matches(name, names, n=1)
        raise UserError(
            f"The arm '{arms[name]}' reads '{name}', a recipe without any texts.",
            where=f"train.arms.{arms[name]}",
            expected=", ".join(names),
            found=name,
            hint=f"did you mean '{near[0]}'?" if near else "steep import --generations FILE",
        )


def run_all(config: Config, project: Project, corpus: Artifact) -> dict[str, Artifact]:
    """Tokenize everything; return the shards by the names of arms and of their other uses."""
    settings, train = config.tokenize, config.train
    builder = ShardBuilder(
        project,
        train.model,
        lambda: load_tokenizer(model_directory(train.model, project)),
    )
    shards = {arm: _arm(config, builder, corpus, arm) for arm in train.arms}
    if train.replay_rate:
        fields = {
            "tokenize.replay": content_hash(replay_path(config)),
            "tokenize.holdout": settings.holdout,
        }
        shards[REPLAY] = builder.texts(REPLAY, fields, lambda: _replay(config, held_out=False))
    if settings.holdout:
        sets, fields = _validation_sets(config, corpus), {"tokenize.holdout": settings.holdout}
        shards[VALIDATION] = builder.sets(VALIDATION, fields, sets)
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


def _arm(config: Config, builder: ShardBuilder, corpus: Artifact, arm: str) -> Artifact:
    """Tokenize the passages of the recipes that an arm reads."""
    recipes, holdout = config.train.arms[arm], config.tokenize.holdout
    check_recipes(corpus, arm, recipes)

    def texts() -> Iterator[str]:
        return passages_of(corpus, recipes, lambda row: not is_held_out(row, holdout))

    fields = {"train.arms": list(recipes), "texts": digest(texts())}
    return builder.texts(arm, fields, texts)


def _validation_sets(config: Config, corpus: Artifact) -> dict[str, Texts]:
    """Return the sets whose loss is measured during training.

    `synthetic`: texts held out of all arms; `documents`: the raw documents, which only arms that
    read them are trained on; `replay`: general text held out of replay.
    """
    holdout = config.tokenize.holdout
    recipes = {name for names in config.train.arms.values() for name in names}
    sets: dict[str, Texts] = {
        "synthetic": lambda: passages_of(corpus, recipes, lambda row: is_held_out(row, holdout)),
        "documents": lambda: passages_of(corpus, (RAW_RECIPE,), lambda row: True),
    }
    if config.train.replay_rate:
        sets["replay"] = lambda: _replay(config, held_out=True)
    return sets


def _replay(config: Config, *, held_out: bool) -> Iterator[str]:
    """Stream the replay texts that are trained on, or those that are held out."""
    texts, holdout = replay_texts(replay_path(config)), config.tokenize.holdout
    return (text for text in texts if (draw(text) < holdout) == held_out)


def _imported_recipes(project: Project) -> set[str]:
    if not project.ledger_path.is_file():
        return set()
    with Ledger(project.ledger_path, read_only=True) as ledger:
        return {record.recipe for record in ledger.imported()}
