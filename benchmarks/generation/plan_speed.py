"""CPU seconds of `steep plan` for many documents, before and after their first step is answered.

    python -m benchmarks.generation.plan_speed [--documents 10000] [--pairs 50]

Each document mentions 100 names (6.6 KB). Reading the documents is not counted.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks.generation import filled_project
from steep.generation.planning import plan_of
from steep.ledger.ledger import Ledger

NAMES = 100


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--pairs", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        filled = filled_project.create(project, options.documents, options.pairs, names=NAMES)
        for title in ("nothing is done", "the first step is answered"):
            with Ledger(filled.project.ledger_path) as ledger:
                start = time.process_time()
                plan = plan_of(filled.config.generate, filled.documents, ledger)
                seconds = time.process_time() - start
            calls = plan.forecast.to_do.calls
            print(f"{title}: {seconds:.1f} s; {calls.low:,.0f} to {calls.high:,.0f} calls to do")
            if title == "nothing is done":
                filled_project.fill(filled, finished=False)


if __name__ == "__main__":
    main()
