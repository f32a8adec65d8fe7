"""Near-duplicates by our index beside rensa and datasketch: time, memory, and what is found.

    pip install rensa==0.5.0 datasketch==2.0.0    # in an environment that has Steep
    python benchmarks/near_duplicates.py --texts 100000
    python benchmarks/near_duplicates.py --texts 1000000 --libraries steep rensa

Texts of random words; each tenth one is a copy of an earlier text with some words replaced. All
libraries get the same 5-word sequences, 128 minima and a threshold of 0.7, each in a process of its
own. Time is processor time of sketches and of the index, without drawing the texts; memory is what
the process needs on top of an empty index. `copies` is the share of the copies above the threshold
(by their exact similarity) that are found, `others` the number of rejected texts below it.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from steep.core.near_duplicates import SHINGLE_WORDS, NearDuplicates, sketch_of
from steep.core.words import words_of

THRESHOLD, MINIMA = 0.7, 128
LIBRARIES = ("steep", "rensa", "datasketch")
VOCABULARY = [f"word{number}" for number in range(20_000)]
AT_ONCE = 1000
IsNew = Callable[[list[str]], list[bool]]


def texts_of(number: int, words: int) -> Iterator[tuple[str, float]]:
    """Yield texts and the Jaccard similarity of each to the one that it copies, 0 for others."""
    drawn = random.Random(0)
    earlier: list[list[str]] = []
    for index in range(number):
        if index % 10 == 9:
            source = drawn.choice(earlier)
            copy = list(source)
            for place in drawn.sample(range(words), drawn.randrange(4)):
                copy[place] = drawn.choice(VOCABULARY)
            one, other = set(shingles(source)), set(shingles(copy))
            yield " ".join(copy), len(one & other) / len(one | other)
        else:
            text = drawn.choices(VOCABULARY, k=words)
            earlier = [*earlier[-99:], text]
            yield " ".join(text), 0.0


def shingles(words: list[str]) -> list[str]:
    """Return all sequences of words."""
    runs = zip(*(words[start:] for start in range(SHINGLE_WORDS)), strict=False)
    return [" ".join(run) for run in runs]


def ours() -> IsNew:
    """Return our index as a function."""
    index = NearDuplicates(THRESHOLD)
    return lambda texts: [index.add(sketch_of(text, THRESHOLD)) for text in texts]


def by_rensa() -> IsNew:
    """Return rensa's as a function."""
    from rensa import RMinHash, RMinHashDeduplicator

    index = RMinHashDeduplicator(threshold=THRESHOLD, num_perm=MINIMA, use_lsh=True)
    numbers = iter(range(sys.maxsize))

    def are_new(texts: list[str]) -> list[bool]:
        sets = [shingles(words_of(text)) for text in texts]
        sketches = RMinHash.from_token_sets(sets, num_perm=MINIMA, seed=42)
        return [index.add(str(next(numbers)), sketch) for sketch in sketches]

    return are_new


def by_datasketch() -> IsNew:
    """Return datasketch's as a function."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=THRESHOLD, num_perm=MINIMA)
    sketches: dict[int, Any] = {}

    def is_new(text: str) -> bool:
        sketch = MinHash(num_perm=MINIMA)
        sketch.update_batch([run.encode() for run in shingles(words_of(text))])
        if any(sketches[each].jaccard(sketch) >= THRESHOLD for each in index.query(sketch)):
            return False
        sketches[len(sketches)] = sketch
        index.insert(len(sketches) - 1, sketch)
        return True

    return lambda texts: [is_new(text) for text in texts]


def measure(library: str, number: int, words: int) -> dict[str, float]:
    """Return what one library needs and finds, in this process."""
    are_new = {"steep": ours, "rensa": by_rensa, "datasketch": by_datasketch}[library]()
    are_new([" ".join(random.Random(1).choices(VOCABULARY, k=words))])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds, above, found, others = 0.0, 0, 0, 0
    remaining = texts_of(number, words)
    while batch := [each for _, each in zip(range(AT_ONCE), remaining, strict=False)]:
        start = time.process_time()
        new = are_new([text for text, _ in batch])
        seconds += time.process_time() - start
        for (_, similarity), is_new in zip(batch, new, strict=True):
            above += similarity >= THRESHOLD
            found += similarity >= THRESHOLD and not is_new
            others += similarity < THRESHOLD and not is_new
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    return {
        "cpu_s": round(seconds, 1),
        "ms_per_text": round(seconds / number * 1e3, 4),
        "bytes_per_text": round(memory / number),
        "copies": round(found / above, 4),
        "others": others,
    }


def main() -> None:
    """Print one line per library."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--words", type=int, default=60, help="per text")
    parser.add_argument("--libraries", nargs="+", choices=LIBRARIES, default=LIBRARIES)
    parser.add_argument("--here", action="store_true", help="(internal)")
    arguments = parser.parse_args()
    if arguments.here:
        (library,) = arguments.libraries
        print(json.dumps(measure(library, arguments.texts, arguments.words)))
        return
    for library in arguments.libraries:
        own = ["--texts", str(arguments.texts), "--words", str(arguments.words), "--here"]
        command = [sys.executable, __file__, "--libraries", library, *own]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        print(library, arguments.texts, done.stdout.strip(), flush=True)


if __name__ == "__main__":
    main()
