"""Stage 4: passages become token shards, one for each arm, and one for replay."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from importlib import resources
from pathlib import Path
from typing import Any

from steep.config import Config
from steep.core.errors import UserError
from steep.core.ids import stable_hash
from steep.corpus.passage import RAW_RECIPE
from steep.corpus.store import PASSAGES_NAME, read_passages
from steep.documents.document import Skipped
from steep.documents.records import BadRecord, json_records, required_text
from steep.generation.ledger import Ledger
from steep.project import Artifact, Project
from steep.stages.documents import content_hash
from steep.stages.harness import Identity, build, log
from steep.stages.models import load_tokenizer, model_directory

VERSION = 2
REPLAY = "replay"

Texts = Callable[[], Iterable[str]]


def check(config: Config, project: Project) -> None:
    """Refuse arms and replay texts that cannot be, before anything is spent.

    Raises:
        UserError: An arm reads a recipe of which no text can come; no replay text is there.
    """
    if config.train.replay_rate > 0 and not _replay_path(config).is_file():
        raise _no_replay(_replay_path(config), "no such file")
    sources = {name: arm for arm, names in config.train.arms.items() for name in names}
    unknown = sources.keys() - {RAW_RECIPE, config.generate.recipe}
    known = {RAW_RECIPE, config.generate.recipe, *_imported_recipes(project)} if unknown else set()
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
    """Tokenise what an arm reads: its recipes' passages, or the raw documents."""
    sources = config.train.arms[arm]
    known = set(corpus.manifest["by_recipe"])
    if missing := [source for source in sources if source not in known]:
        raise UserError(
            f"The arm '{arm}' reads '{missing[0]}', of which the corpus has no passage.",
            where=f"train.arms.{arm}",
            expected=", ".join(sorted(known)),
            found=missing[0],
            hint="look at what was set aside or failed: steep status, and "
            f"{corpus.path / 'manifest.json'}",
        )

    passages = read_passages(corpus.path / PASSAGES_NAME)
    texts = [passage.text for passage in passages if passage.recipe in sources]
    # Of the corpus only what the arm reads decides its shard: other texts retrain nothing.
    fields = {
        "arm": arm,
        "train.arms": list(sources),
        "train.model": config.train.model,
        "texts": stable_hash(texts, 16),
    }
    return _shard(config, project, Identity("tokenize", VERSION, fields, {}), lambda: texts)


def run_replay(config: Config, project: Project) -> Artifact | None:
    """Tokenise the replay text; None when no replay is asked for."""
    if config.train.replay_rate == 0:
        return None
    path = _replay_path(config)
    fields = {
        "arm": REPLAY,
        "tokenize.replay": content_hash(path),
        "train.model": config.train.model,
    }
    identity = Identity("tokenize", VERSION, fields, {})
    return _shard(config, project, identity, lambda: replay_texts(path))


def _shard(config: Config, project: Project, identity: Identity, texts: Texts) -> Artifact:
    def make(directory: Path) -> dict[str, Any]:
        from steep.tokens.shard import write_shard

        tokenizer = load_tokenizer(model_directory(config.train.model, project))
        manifest = write_shard(directory, texts(), tokenizer)
        return {
            "arm": identity.fields["arm"],
            "passages": manifest.texts,
            "tokens": manifest.tokens,
            "sha256": manifest.sha256,
        }

    return build(project, identity, make)


def _imported_recipes(project: Project) -> set[str]:
    if not project.ledger_path.is_file():
        return set()
    with Ledger(project.ledger_path, read_only=True) as ledger:
        return {record.recipe for record in ledger.imported()}


def _replay_path(config: Config) -> Path:
    replay = config.tokenize.replay
    if isinstance(replay, Path):
        return replay
    return Path(str(resources.files("steep") / "demo" / "replay.md"))


def replay_texts(path: Path) -> list[str]:
    """General text: `text` fields of JSON Lines, or the paragraphs of a plain file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _no_replay(path, error) from error
    texts = _jsonl_texts(text, path) if path.suffix == ".jsonl" else text.split("\n\n")
    found = [each.strip() for each in texts if each.strip()]
    if not found:
        raise _no_replay(path, "no text")
    return found


def _no_replay(path: Path, found: object) -> UserError:
    return UserError(
        "There is no replay text.",
        where=f"tokenize.replay: {path}",
        expected="a .txt, .md or .jsonl file (each line with a text), or 'builtin'",
        found=found,
        hint="correct the path, or set train.replay_rate to 0",
    )


def _jsonl_texts(text: str, path: Path) -> list[str]:
    texts: list[str] = []
    skipped: list[Skipped] = []
    for source, record in json_records(text, path.name, skipped):
        try:
            texts.append(required_text(record, "text"))
        except BadRecord as error:
            skipped.append(Skipped(source, str(error)))
    if skipped:
        log.warning(
            "tokenize: %d lines of %s are left out; %s: %s",
            len(skipped),
            path,
            skipped[0].source,
            skipped[0].reason,
        )
    return texts
