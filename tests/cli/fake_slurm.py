"""A `sbatch` that runs jobs at once."""

from __future__ import annotations

import os
import sys
from pathlib import Path

SBATCH = """#!{python}
import os, re, subprocess, sys
script = sys.argv[-1]
text = open(script).read()
calls = os.environ["SBATCH_CALLS"]
with open(calls, "a") as log:
    log.write(" ".join(re.findall(r"^#SBATCH (.*)$", text, re.M)) + "\\n")
array = re.search(r"--array=([\\d,]+)", text)
for number in array[1].split(",") if array else [None]:
    environment = dict(os.environ) | ({{"SLURM_ARRAY_TASK_ID": number}} if number else {{}})
    ended = subprocess.run(["bash", script], env=environment, capture_output=True, text=True)
    if ended.returncode:
        sys.exit(f"job {{number}}: {{ended.stderr}}")
print(f"{{len(open(calls).readlines())}};cluster")
"""


def fake_sbatch(folder: Path) -> dict[str, str]:
    """A `sbatch` that runs every job at once, and records the options."""
    folder.mkdir()
    script = folder / "sbatch"
    script.write_text(SBATCH.format(python=sys.executable))
    script.chmod(0o755)
    return {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "SBATCH_CALLS": str(folder / "calls"),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
