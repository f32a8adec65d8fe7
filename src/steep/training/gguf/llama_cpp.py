"""Convert a model with llama.cpp's own converter, which knows all of its architectures.

The converter is a Python script in the source of llama.cpp. It runs in a process of its own, with
the interpreter of Steep, and imports the package `gguf` that lies beside it.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections import deque
from pathlib import Path

from steep.core.errors import UserError
from steep.core.files import check_free_disk, disk_errors
from steep.training.gguf.write import GgufType

log = logging.getLogger("steep")

SCRIPT = "convert_hf_to_gguf.py"
SHOWN_LINES = 5  # of the output of a converter that failed


def find_converter(directory: Path | None) -> Path | None:
    """Return the converter in a directory, or on the PATH; None where there is none.

    Raises:
        UserError: The named directory has no converter.
    """
    if directory is None:
        found = shutil.which(SCRIPT)
        return Path(found) if found else None
    for path in (directory / SCRIPT, directory):
        if path.is_file():
            return path
    raise UserError(
        "There is no converter in this directory.",
        where="--llama-cpp",
        expected=f"a directory with {SCRIPT}",
        found=directory,
        hint="git clone https://github.com/ggml-org/llama.cpp",
    )


def convert(script: Path, model: Path, target: Path, kind: GgufType) -> Path:
    """Run the converter, log its output, and return the written file.

    Raises:
        UserError: The converter failed, or the disk is full.
    """
    check_free_disk(target, sum(each.stat().st_size for each in model.glob("*.safetensors")))
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    command = [sys.executable, str(script), str(model)]
    command += ["--outfile", str(temporary), "--outtype", kind]
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            code, last = _streamed(command)
            if code or not temporary.is_file():
                raise UserError(
                    f"llama.cpp's converter ended with exit code {code}.",
                    where=script,
                    found="\n            ".join(["its last lines:", *last]),
                    hint="pip install the packages that it names, or update llama.cpp",
                )
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    return target


def _streamed(command: list[str]) -> tuple[int, list[str]]:
    """Run a command and log each line; return its exit code and its last lines."""
    last: deque[str] = deque(maxlen=SHOWN_LINES)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout
        for line in process.stdout:
            if line := line.rstrip():
                log.info("%s", line)
                last.append(line)
    return process.returncode, list(last)
