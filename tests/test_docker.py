"""The image for processors is built and started where a Docker daemon answers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import steep

ROOT = Path(__file__).parents[1]


def no_docker() -> str | None:
    """Return why no image can be built here."""
    if shutil.which("docker") is None:
        return "docker is not installed"
    asked = subprocess.run(["docker", "info"], capture_output=True, text=True, check=False)
    return f"no Docker daemon: {asked.stderr.strip()}" if asked.returncode else None


@pytest.mark.slow
def test_the_image_for_processors_runs_steep() -> None:
    if reason := no_docker():
        pytest.skip(reason)
    tag = "steep:test"
    subprocess.run(["docker", "build", "--target", "cpu", "-t", tag, str(ROOT)], check=True)
    try:
        ran = subprocess.run(
            ["docker", "run", "--rm", "--user", "4321", tag, "--version"],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        assert ran.stdout == f"steep {steep.__version__}\n"
    finally:
        subprocess.run(["docker", "image", "rm", tag], check=False, capture_output=True)
