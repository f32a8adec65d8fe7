"""An engine that forgets nothing: what it has written so far is on disk, and never asked again.

Long evaluations are killed, and their texts cost money or hours. `KeptEngine` hands prompts on in
parts and appends each part's texts to a file; started again with the same file it asks only for
what is not there. A text is known by its prompt, its decoding and its number. Errors are not kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from steep.core.files import disk_errors
from steep.core.ids import stable_hash
from steep.evaluation.engines import AnswerEngine, Decoding, Output, Progress, no_progress
from steep.evaluation.normalizers import OptionScores

PART_TEXTS = 256  # texts that a kill may lose: enough to fill batches, or a server


class KeptEngine:
    """Implements `steep.evaluation.engines.AnswerEngine` around another one."""

    def __init__(self, engine: AnswerEngine, path: Path) -> None:
        """Read what is in the file; a line that a kill cut off is none."""
        self._engine, self._path = engine, path
        self._kept = {key: outputs for key, outputs in _read(path)}
        self.found = sum(map(len, self._kept.values()))  # texts that an earlier run left

    def generate(
        self, prompts: Sequence[str], decoding: Decoding, on_progress: Progress = no_progress
    ) -> list[list[Output]]:
        """Continue each prompt, or tell what was written before."""
        keys = [stable_hash([prompt, asdict(decoding)], 16) for prompt in prompts]
        missing = {k: p for k, p in zip(keys, prompts, strict=True) if k not in self._kept}
        size = max(1, PART_TEXTS // decoding.samples)
        done, total = len(keys) - len(missing), len(keys) * decoding.samples
        for start in range(0, len(missing), size):
            part = list(missing)[start : start + size]
            before = (done + start) * decoding.samples

            def on_part(texts: int, _: int, before: int = before) -> None:
                on_progress(before + texts, total)

            found = self._engine.generate([missing[key] for key in part], decoding, on_part)
            self._keep(dict(zip(part, found, strict=True)))
        return [self._kept[key] for key in keys]

    def logprobs(
        self,
        prompts: Sequence[str],
        options: Sequence[Sequence[str]],
        on_progress: Progress = no_progress,
    ) -> list[OptionScores]:
        """Score each prompt's options, which takes a pass each and is not kept."""
        return self._engine.logprobs(prompts, options, on_progress)

    def _keep(self, found: dict[str, list[Output]]) -> None:
        self._kept |= found
        good = {key: outs for key, outs in found.items() if not any(_failed(o) for o in outs)}
        with disk_errors(self._path), self._path.open("a", encoding="utf-8") as file:
            for key, outputs in good.items():
                file.write(json.dumps([key, outputs], ensure_ascii=False) + "\n")


def _failed(output: Output) -> bool:
    return output.finish_reason == "error"


def _read(path: Path) -> Iterator[tuple[str, list[Output]]]:
    if not path.is_file():
        return
    whole = path.read_bytes()
    complete = whole[: whole.rfind(b"\n") + 1]
    if len(complete) < len(whole):  # cut off by a kill; what is appended must begin a line
        with path.open("r+b") as file:
            file.truncate(len(complete))
    for line in complete.decode("utf-8").split("\n"):
        if line:
            key, outputs = _parsed(line)
            yield key, [Output(*each) for each in outputs]


def _parsed(line: str) -> Any:
    return json.loads(line)
