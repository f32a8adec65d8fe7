"""Print what further texts of a file for `steep import` bring, per window of texts.

    python benchmarks/generation/new_information.py generations.jsonl.gz --calls 91

Texts are read sample by sample, so that documents take turns as in a generation.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections import defaultdict
from pathlib import Path

from steep.core.ngrams import WordHasher, ngrams
from steep.core.words import words_of
from steep.generation.new_information import NGRAM_WORDS, InformationCurve, Window


def main() -> None:
    """Read the file and print one line per recipe and model."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--calls", type=int, default=1000, help="texts per window")
    parser.add_argument("--by-recipe", action="store_true", help="all models of a recipe together")
    options = parser.parse_args()
    opened = gzip.open if options.file.suffix == ".gz" else open
    with opened(options.file, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    rows.sort(key=lambda row: (row["sample"], row["model"], row["document_id"]))
    curves: defaultdict[str, InformationCurve] = defaultdict(InformationCurve)
    hasher, began_s = WordHasher(), time.process_time()
    for row in rows:
        name = row["recipe"] if options.by_recipe else f"{row['recipe']}, {row['model']}"
        words = words_of(row["text"])
        curves[name].add(len(words), ngrams(hasher.hashes(words), NGRAM_WORDS), options.calls)
    took_s = time.process_time() - began_s
    for name, curve in sorted(curves.items()):
        rest = [curve.open] if curve.open != Window() else []
        windows = [*curve.windows, *rest]
        rates = " ".join(f"{each.per_word:.3f}" for each in windows)
        last = windows[-1].per_word / windows[0].per_word
        print(f"{name}: {rates} (last: {last:.0%} of the first, {windows[-1].calls} texts)")
    print(f"{1e6 * took_s / len(rows):.0f} microseconds per text of processor time")


if __name__ == "__main__":
    main()
