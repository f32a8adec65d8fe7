"""An engine that keeps its outputs on disk, so that an interrupted run loses little.

`CachedEngine` appends the texts of each prompt to a file as soon as all of them are complete, and
generates only those that the file does not hold. A kill loses what is in progress. The key is the
prompt with its decoding. Errors are not kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from steep.core.files import disk_errors
from steep.core.ids import stable_hash
from steep.evaluation.engines import (
    AnswerEngine,
    Decoding,
    OnOutput,
    Output,
    Progress,
    keep_nothing,
    no_progress,
)
from steep.evaluation.option_rows import OptionScores


class CachedEngine:
    """Implements `steep.evaluation.engines.AnswerEngine` around another one."""

    def __init__(self, engine: AnswerEngine, path: Path) -> None:
        """Read the file; a line that a kill cut off is ignored."""
        self._engine, self._path = engine, path
        self._kept = {key: outputs for key, outputs in _read(path)}
        self.found = sum(map(len, self._kept.values()))  # texts that an earlier run left

    def generate(
        self,
        prompts: Sequence[str],
        decoding: Decoding,
        on_progress: Progress = no_progress,
        on_output: OnOutput = keep_nothing,
    ) -> list[list[Output]]:
        """Continue each prompt, unless its texts are in the file (these skip `on_output`)."""
        keys = [stable_hash([prompt, asdict(decoding)], 16) for prompt in prompts]
        missing = {k: p for k, p in zip(keys, prompts, strict=True) if k not in self._kept}
        names, before = list(missing), len(keys) - len(missing)
        parts: dict[int, dict[int, Output]] = {}

        def keep(place: int, output: Output) -> None:
            number, sample = divmod(place, decoding.samples)
            part = parts.setdefault(number, {})
            part[sample] = output
            if len(part) == decoding.samples:
                self._keep(names[number], [part[n] for n in range(decoding.samples)])
            on_output(place, output)

        def tell(texts: int, _: int) -> None:
            on_progress(before * decoding.samples + texts, len(keys) * decoding.samples)

        found = self._engine.generate(list(missing.values()), decoding, tell, keep) if names else []
        self._kept |= dict(zip(names, found, strict=True))
        return [self._kept[key] for key in keys]

    def logprobs(
        self,
        prompts: Sequence[str],
        options: Sequence[Sequence[str]],
        on_progress: Progress = no_progress,
    ) -> list[OptionScores]:
        """Score each prompt's options; scores are not kept."""
        return self._engine.logprobs(prompts, options, on_progress)

    def _keep(self, key: str, outputs: Sequence[Output]) -> None:
        if any(output.finish_reason == "error" for output in outputs):
            return
        with disk_errors(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps([key, outputs], ensure_ascii=False) + "\n")


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
