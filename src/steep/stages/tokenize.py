"""Stage 4: passages become token shards, one for each arm, and one for replay."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

from steep.config import Config
from steep.core.errors import UserError
from steep.corpus.store import PASSAGES_NAME, read_passages
from steep.project import Artifact, Project
from steep.stages.documents import content_hash
from steep.stages.harness import Identity, build
from steep.stages.models import load_tokenizer, model_directory

VERSION = 1
REPLAY = "replay"


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
        )

    def texts() -> Iterable[str]:
        passages = read_passages(corpus.path / PASSAGES_NAME)
        return (passage.text for passage in passages if passage.recipe in sources)

    fields = {"arm": arm, "train.arms": list(sources), "train.model": config.train.model}
    return _shard(config, project, Identity("tokenize", VERSION, fields, {"corpus": corpus}), texts)


def run_replay(config: Config, project: Project) -> Artifact | None:
    """Tokenise the replay text; None when no replay is asked for."""
    if config.train.replay_rate == 0:
        return None
    replay = config.tokenize.replay
    path = (
        Path(str(resources.files("steep") / "demo" / "replay.md"))
        if replay == "builtin"
        else replay
    )
    if not path.exists():
        raise UserError("The replay text is missing.", where=f"tokenize.replay: {path}")
    fields = {
        "arm": REPLAY,
        "tokenize.replay": content_hash(path),
        "train.model": config.train.model,
    }
    return _shard(
        config, project, Identity("tokenize", VERSION, fields, {}), lambda: _replay_texts(path)
    )


def _shard(config: Config, project: Project, identity: Identity, texts: Any) -> Artifact:
    def make(directory: Path) -> dict[str, Any]:
        from steep.tokens.shard import write_shard

        tokenizer = load_tokenizer(model_directory(config.train.model))
        manifest = write_shard(directory, texts(), tokenizer)
        return {
            "arm": identity.fields["arm"],
            "passages": manifest.texts,
            "tokens": manifest.tokens,
            "sha256": manifest.sha256,
        }

    return build(project, identity, make)


def _replay_texts(path: Path) -> Iterable[str]:
    """General text: `text` fields of JSON Lines, or the paragraphs of a plain file."""
    from steep.core.files import read_jsonl

    if path.suffix == ".jsonl":
        return [row["text"] for row in read_jsonl(path)]
    paragraphs = path.read_text(encoding="utf-8").split("\n\n")
    return [paragraph.strip() for paragraph in paragraphs if paragraph.strip()]
