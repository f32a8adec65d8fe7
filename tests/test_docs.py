"""The generated pages are those of the code."""

from __future__ import annotations

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def test_the_configuration_reference_is_up_to_date() -> None:
    written = (DOCS / "configuration.md").read_text(encoding="utf-8")
    page = runpy.run_path(str(DOCS / "configuration.py"))["page"]
    assert page() == written, "run: python docs/configuration.py"


def test_links_between_pages_lead_somewhere() -> None:
    import re

    root = DOCS.parent
    for page in (*root.glob("*.md"), *DOCS.glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
