"""Stage 4: passages become token shards: one for each arm, for replay, chats and validation."""

from __future__ import annotations

import difflib
import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from steep.config import Config
from steep.core.artifacts import Artifact, Identity, Project, build
from steep.core.calls import RAW_RECIPE
from steep.core.errors import UserError
from steep.core.ids import derive_seed
from steep.corpus.passage import OF_DOCUMENT
from steep.corpus.store import PASSAGES_NAME, TextRow, stream_texts
from steep.documents.document import Skipped
from steep.documents.general_text import KINDS, NoText, builtin_texts, stream_general_texts
from steep.ledger.ledger import Ledger
from steep.stages.documents import content_hash
from steep.stages.models import model_directory
from steep.training.loading import load_tokenizer

log = logging.getLogger("steep")

VERSION = 4
REPLAY: Literal["replay"] = "replay"
INSTRUCTION: Literal["instruction"] = "instruction"
VALIDATION = "validation"
CHATS = "chats"

Texts = Callable[[], Iterable[str]]


def check(config: Config, project: Project) -> None:
    """Refuse arms and replay texts that cannot be, before anything is spent.

    Raises:
        UserError: An arm reads a recipe of which no text can come; no replay text is there.
    """
    if config.train.replay_rate > 0 and not replay_path(config).is_file():
        raise _no_replay(replay_path(config), "no such file")
    chats = config.tokenize.instructions
    if config.train.instruction_rate > 0 and (chats is None or not chats.is_file()):
        raise UserError(
            "There are no chats to mix in.",
            where="tokenize.instructions",
            expected='a JSONL file, each line {"messages": [{"role", "content"}, ...]}',
            found=chats,
            hint="name one, or set train.instruction_rate to 0",
        )
    sources = {name: arm for arm, names in config.train.arms.items() for name in names}
    unknown = sources.keys() - {RAW_RECIPE, *config.generate.recipes}
    known = (
        {RAW_RECIPE, *config.generate.recipes, *_imported_recipes(project)} if unknown else set()
    )
    for name in sorted(unknown - known):
        near = difflib.get_close_matches(name, filter(None, known), n=1)
        raise UserError(
            f"The arm '{sources[name]}' reads '{name}', a recipe of which there is no text.",
            where=f"train.arms.{sources[name]}",
            expected=", ".join(sorted(filter(None, known))),
            found=name,
            hint=f"did you mean '{near[0]}'?" if near else "steep import --generations FILE",
        )


def run(config: Config, project: Project, corpus: Artifact, arm: str) -> Artifact:
    """Tokenize what an arm reads: its recipes' passages, or the raw documents."""
    sources = config.train.arms[arm]
    known = set(corpus.manifest["by_recipe"])
    if missing := [source for source in sources if source not in known]:
        raise UserError(
            f"The arm '{arm}' reads '{missing[0]}', of which the corpus has no passage.",
            where=f"train.arms.{arm}",
            expected=", ".join(sorted(known)),
            found=missing[0],
            hint="look at what was rejected or failed: steep status, and "
            f"{corpus.path / 'manifest.json'}",
        )

    def texts() -> Iterator[str]:
        return (
            row.text
            for row in _rows(corpus)
            if row.recipe in sources and not _held_out(row, config.tokenize.holdout)
        )

    # Of the corpus only what the arm reads decides its shard: other texts retrain nothing.
    fields = {"arm": arm, "train.arms": list(sources), "texts": _digest(texts())}
    return _shard(config, project, fields, texts)


def run_all(config: Config, project: Project, corpus: Artifact) -> dict[str, Artifact]:
    """All shards, by the names of arms and by what else they are for."""
    optional = {
        REPLAY: run_replay(config, project),
        VALIDATION: run_validation(config, project, corpus),
        INSTRUCTION: run_instructions(config, project),
    }
    if config.instruct.chats is not None:
        chats, loss_on = config.instruct.chats, config.instruct.loss_on
        optional[CHATS] = run_chats(config, project, chats, loss_on, CHATS)
    arms = {arm: run(config, project, corpus, arm) for arm in config.train.arms}
    return arms | {name: artifact for name, artifact in optional.items() if artifact}


def run_replay(config: Config, project: Project) -> Artifact | None:
    """Tokenize the replay text; None when no replay is asked for."""
    if config.train.replay_rate == 0:
        return None
    path = replay_path(config)
    fields = {
        "arm": REPLAY,
        "tokenize.replay": content_hash(path),
        "tokenize.holdout": config.tokenize.holdout,
    }
    return _shard(config, project, fields, lambda: _replay(config, held_out=False))


def run_validation(config: Config, project: Project, corpus: Artifact) -> Artifact | None:
    """Tokenize what no arm is trained on, and the documents; None when nothing is held out.

    The sets: `synthetic`, texts held out of all arms; `documents`, the raw documents, which only
    arms that read them are trained on; `replay`, general text held out of replay.
    """
    holdout = config.tokenize.holdout
    if holdout == 0:
        return None
    read = {name for names in config.train.arms.values() for name in names}
    sets: dict[str, Texts] = {
        "synthetic": lambda: (
            row.text for row in _rows(corpus) if row.recipe in read and _held_out(row, holdout)
        ),
        "documents": lambda: (row.text for row in _rows(corpus) if row.recipe == RAW_RECIPE),
    }
    if config.train.replay_rate:
        sets["replay"] = lambda: _replay(config, held_out=True)
    fields = {
        "arm": VALIDATION,
        "tokenize.holdout": holdout,
        "train.model": config.train.model,
        "texts": {name: _digest(texts()) for name, texts in sets.items()},
    }

    def make(directory: Path) -> dict[str, Any]:
        from steep.tokens.shard import write_shard

        tokenizer = load_tokenizer(model_directory(config.train.model, project))
        found = [name for name, texts in sets.items() if next(iter(texts()), None) is not None]
        tokens = {
            name: write_shard(directory / name, sets[name](), tokenizer).tokens for name in found
        }
        return {"arm": VALIDATION, "sets": found, "tokens": tokens}

    return build(project, Identity("tokenize", VERSION, fields, {}), make)


def run_instructions(config: Config, project: Project) -> Artifact | None:
    """Tokenize the chats that are mixed into pretraining; None when none are asked for."""
    chats = config.tokenize.instructions
    if config.train.instruction_rate == 0 or chats is None:
        return None
    return run_chats(config, project, chats, "all", INSTRUCTION)


def run_chats(
    config: Config, project: Project, path: Path, loss_on: Literal["all", "assistant"], name: str
) -> Artifact:
    """Tokenize chats by the chat template of the model that is trained.

    Args:
        config: The configuration.
        project: Where things lie.
        path: JSONL with `messages`.
        loss_on: Which tokens are learned.
        name: What the shard is for.
    """
    fields = {
        "arm": name,
        "chats": content_hash(path),
        "loss_on": loss_on,
        "train.model": config.train.model,
    }

    def make(directory: Path) -> dict[str, Any]:
        from steep.tokens.chat import write_chat_shard

        tokenizer = load_tokenizer(model_directory(config.train.model, project))
        manifest, skipped = write_chat_shard(directory, path, tokenizer, loss_on)
        _tell_skipped(path, [Skipped(each.source, each.reason) for each in skipped])
        return {
            "arm": name,
            "passages": manifest.texts,
            "skipped": len(skipped),
            "tokens": manifest.tokens,
            "sha256": manifest.sha256,
        }

    return build(project, Identity("tokenize", VERSION, fields, {}), make)


def _shard(config: Config, project: Project, fields: dict[str, Any], texts: Texts) -> Artifact:
    def make(directory: Path) -> dict[str, Any]:
        from steep.tokens.shard import write_shard

        tokenizer = load_tokenizer(model_directory(config.train.model, project))
        manifest = write_shard(directory, texts(), tokenizer)
        return {
            "arm": fields["arm"],
            "passages": manifest.texts,
            "tokens": manifest.tokens,
            "sha256": manifest.sha256,
        }

    fields = {**fields, "train.model": config.train.model}
    return build(project, Identity("tokenize", VERSION, fields, {}), make)


def _rows(corpus: Artifact) -> Iterator[TextRow]:
    return stream_texts(corpus.path / PASSAGES_NAME)


def _digest(texts: Iterable[str]) -> str:
    """A hash of texts in order, of which one is in memory at a time."""
    digest = hashlib.blake2b(digest_size=8)
    for text in texts:
        encoded = text.encode()
        digest.update(f"{len(encoded)}:".encode() + encoded)
    return digest.hexdigest()


def _held_out(row: TextRow, holdout: float) -> bool:
    """Whether a text is kept out of training: the same ones on every machine, never a document."""
    return row.recipe != RAW_RECIPE and _draw(row.id.partition(OF_DOCUMENT)[0]) < holdout


def _draw(key: str) -> float:
    """A number from 0 to 1 that follows from the key alone."""
    return derive_seed("held out", key) / 2**63


def _replay(config: Config, *, held_out: bool) -> Iterator[str]:
    """The replay texts that are trained on, or those that are kept out."""
    holdout = config.tokenize.holdout
    texts = replay_texts(replay_path(config))
    return (text for text in texts if (_draw(text) < holdout) == held_out)


def _imported_recipes(project: Project) -> set[str]:
    if not project.ledger_path.is_file():
        return set()
    with Ledger(project.ledger_path, read_only=True) as ledger:
        return {record.recipe for record in ledger.imported()}


def replay_path(config: Config) -> Path:
    """The file of general text that is mixed in."""
    replay = config.tokenize.replay
    return replay if isinstance(replay, Path) else builtin_texts()


def replay_texts(path: Path) -> Iterator[str]:
    """General text, one at a time: `text` fields of JSON Lines, or paragraphs of a plain file.

    Raises:
        UserError: It cannot be read, or there is no text in it.
    """
    skipped: list[Skipped] = []
    try:
        yield from stream_general_texts(path, skipped)
    except NoText as error:
        _tell_skipped(path, skipped)
        raise _no_replay(path, error) from error
    _tell_skipped(path, skipped)


def _no_replay(path: Path, found: object) -> UserError:
    return UserError(
        "There is no replay text.",
        where=f"tokenize.replay: {path}",
        expected=KINDS,
        found=found,
        hint="correct the path, or set train.replay_rate to 0",
    )


def _tell_skipped(path: Path, skipped: Sequence[Skipped]) -> None:
    if skipped:
        log.warning(
            "tokenize: %d lines of %s are left out; %s: %s",
            len(skipped),
            path,
            skipped[0].source,
            skipped[0].reason,
        )
