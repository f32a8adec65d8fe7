"""Token shards as artifacts: one for each arm, for replay, for chats and for validation.

The identity of a shard is the hash of its texts and the model whose tokenizer is used: texts that
an arm does not read cause no retraining. Held-out texts are chosen by a hash of their id (or of the
text itself), so they are the same on every machine.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from steep.core.artifacts import Artifact, Identity, Project, build
from steep.core.calls import RAW_RECIPE
from steep.core.errors import UserError
from steep.core.files import content_hash
from steep.core.ids import derive_seed
from steep.core.progress import Progress
from steep.corpus.passage import (
    OF_DOCUMENT,
    PASSAGES_NAME,
    FullText,
    TextPlace,
    TextRow,
    stream_rows,
)
from steep.tokens.sources import source_of

if TYPE_CHECKING:
    from steep.tokens.shard import ShardManifest

log = logging.getLogger("steep")

VERSION = 4
# Names of the shards beside those of the arms.
REPLAY: Literal["replay"] = "replay"
INSTRUCTION: Literal["instruction"] = "instruction"
VALIDATION = "validation"
CHATS = "chats"
SUBSET_NAME = "texts.npy"  # numbers of the texts of a subset; here, as numpy loads with subsets
EXPECTED_CHATS = 'a JSONL file, each line {"messages": [{"role", "content"}, ...]}'

Texts = Callable[[], Iterable[str]]


@dataclass(frozen=True, slots=True)
class ShardBuilder:
    """Builds token shards with the tokenizer of one model."""

    project: Project
    model: str
    tokenizer: Callable[[], Any]

    def arm(self, name: str, corpus: Artifact, recipes: Sequence[str], holdout: float) -> Artifact:
        """Tokenize the passages of the recipes that an arm reads.

        Raises:
            UserError: The corpus has no passage of a recipe.
        """
        check_recipes(corpus, name, recipes)

        def texts() -> Iterator[str]:
            return passages_of(corpus, recipes, lambda row: not is_held_out(row, holdout))

        fields = {"train.arms": list(recipes), "texts": digest(texts())}
        return self._texts(name, fields, texts)

    def replay(self, path: Path, texts: Texts, holdout: float) -> Artifact:
        """Tokenize the general texts of a file, without those that are held out."""
        fields = {"tokenize.replay": content_hash(path), "tokenize.holdout": holdout}
        return self._texts(REPLAY, fields, lambda: _drawn(texts(), holdout, held_out=False))

    def validation(
        self, corpus: Artifact, sources: Container[str], holdout: float, replay: Texts | None
    ) -> Artifact:
        """Tokenize the sets whose loss is measured during training.

        `synthetic`: texts held out of all arms; `documents`: the raw documents, which only arms
        that read them are trained on; `replay`: general text held out of replay.
        """
        sets: dict[str, Texts] = {
            "synthetic": lambda: passages_of(
                corpus, sources, lambda row: is_held_out(row, holdout)
            ),
            "documents": lambda: passages_of(corpus, (RAW_RECIPE,), lambda row: True),
        }
        if replay is not None:
            sets["replay"] = lambda: _drawn(replay(), holdout, held_out=True)
        return self._sets(VALIDATION, {"tokenize.holdout": holdout}, sets)

    def _texts(self, name: str, fields: Mapping[str, Any], texts: Texts) -> Artifact:

        def make(directory: Path) -> dict[str, Any]:
            from steep.tokens.shard import write_shard

            shown = Progress(f"tokenize {name}", None, "texts").over(texts())
            return counts(write_shard(directory, shown, self.tokenizer()))

        return self.artifact(name, fields, make)

    def _sets(self, name: str, fields: Mapping[str, Any], sets: Mapping[str, Texts]) -> Artifact:
        """Tokenize several sets of texts into one artifact; empty sets are left out."""

        def make(directory: Path) -> dict[str, Any]:
            from steep.tokens.shard import write_shard

            def shown(each: str) -> Iterator[str]:
                return Progress(f"tokenize {name} {each}", None, "texts").over(sets[each]())

            tokenizer = self.tokenizer()
            found = [each for each, texts in sets.items() if next(iter(texts()), None) is not None]
            tokens = {
                each: write_shard(directory / each, shown(each), tokenizer).tokens for each in found
            }
            return {"sets": found, "tokens": tokens}

        digests = {each: digest(texts()) for each, texts in sets.items()}
        return self.artifact(name, {**fields, "texts": digests}, make)

    def chats(self, name: str, path: Path, loss_on: Literal["all", "assistant"]) -> Artifact:
        """Tokenize a JSONL file of chats with the model's chat template."""

        def make(directory: Path) -> dict[str, Any]:
            from steep.tokens.chat import write_chat_shard

            manifest, skipped = write_chat_shard(directory, path, self.tokenizer(), loss_on)
            if skipped:
                first = f"{skipped[0].source}: {skipped[0].reason}"
                log.warning(
                    "tokenize: skipped %d lines of %s; the first, %s", len(skipped), path, first
                )
            return {**counts(manifest), "skipped": len(skipped)}

        return self.artifact(name, {"chats": content_hash(path), "loss_on": loss_on}, make)

    def artifact(
        self, name: str, fields: Mapping[str, Any], make: Callable[[Path], dict[str, Any]]
    ) -> Artifact:
        """Build a shard in a directory, or find it; `make` returns the counts for its manifest."""
        identity = {"arm": name, "train.model": self.model, **fields}
        return build(
            self.project,
            Identity("tokenize", VERSION, identity, {}),
            lambda directory: {"arm": name, **make(directory)},
        )


def counts(manifest: ShardManifest) -> dict[str, Any]:
    """Return what the artifact's manifest says about a shard."""
    return {"passages": manifest.texts, "tokens": manifest.tokens, "sha256": manifest.sha256}


def passages_of(
    corpus: Artifact, sources: Container[str], keep: Callable[[TextRow], bool]
) -> Iterator[str]:
    """Return the texts of some sources of a corpus that `keep` accepts, in order."""
    rows = stream_rows(corpus.path / PASSAGES_NAME, TextRow)
    return (row.text for row in rows if source_of(row, sources) and keep(row))


def is_held_out(row: TextRow | TextPlace | FullText, holdout: float) -> bool:
    """Return True if a passage is kept out of training; raw documents never are."""
    return row.recipe != RAW_RECIPE and draw(row.id.partition(OF_DOCUMENT)[0]) < holdout


def draw(key: str) -> float:
    """Return a number from 0 to 1 that depends on the key alone."""
    return derive_seed("held out", key) / 2**63


def _drawn(texts: Iterable[str], holdout: float, *, held_out: bool) -> Iterator[str]:
    """Yield the texts that are trained on, or those that are held out."""
    return (text for text in texts if (draw(text) < holdout) == held_out)


def digest(texts: Iterable[str]) -> str:
    """Return a hash of texts in order, with one text in memory at a time."""
    hashed = hashlib.blake2b(digest_size=8)
    for text in texts:
        encoded = text.encode()
        hashed.update(f"{len(encoded)}:".encode() + encoded)
    return hashed.hexdigest()


def check_chats(path: Path | None, key: str, hint: str | None = None) -> None:
    """Refuse a missing file of chats.

    Raises:
        UserError: There is no such file.
    """
    if path is None or not path.is_file():
        raise UserError(
            "There are no chats.", where=key, expected=EXPECTED_CHATS, found=path, hint=hint
        )


def check_recipes(corpus: Artifact, arm: str, recipes: Iterable[str]) -> None:
    """Refuse an arm that reads a recipe without passages.

    Raises:
        UserError: The corpus has no passage of a recipe.
    """
    known = set(corpus.manifest["by_recipe"])
    if missing := [recipe for recipe in recipes if recipe not in known]:
        raise UserError(
            f"The arm '{arm}' reads '{missing[0]}', but the corpus has no passage of it.",
            where=f"train.arms.{arm}",
            expected=", ".join(sorted(known)),
            found=missing[0],
            hint="steep status and "
            f"{corpus.path / 'manifest.json'} show what failed or was rejected",
        )
