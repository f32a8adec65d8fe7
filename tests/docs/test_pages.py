"""What pages say about messages, tables and links is true."""

from __future__ import annotations

import re
import runpy
from functools import cache
from pathlib import Path

import pytest
from documentation import ROOT

FAILURES = (ROOT / "docs" / "failures.md").read_text(encoding="utf-8")
# What the page fills in for a reader.
FILLED = {"OPENAI_API_KEY": "{api_key_env}", "'entigraph'": "'{recipe}'", "nan": "{loss}"}


@cache
def messages() -> str:
    """Return the source, with the strings that are joined over lines in one piece."""
    source = "\n".join(
        path.read_text(encoding="utf-8") for path in sorted((ROOT / "src").rglob("*.py"))
    )
    return re.sub(r'"\s*\n\s*f?"', "", source)


@pytest.mark.parametrize("heading", re.findall("^### (.*)$", FAILURES, re.MULTILINE))
def test_a_message_of_the_page_is_one_of_steep(heading: str) -> None:
    for shown, field in FILLED.items():
        heading = heading.replace(shown, field)
    assert heading.rstrip() in messages()


def test_the_tables_of_costs_are_those_of_the_planner() -> None:
    path = ROOT / "docs" / "costs.md"
    written = path.read_text(encoding="utf-8")
    page = runpy.run_path(str(path.with_suffix(".py")))["page"]
    assert page(written) == written, "run: python docs/costs.py"


def test_the_index_leads_to_every_page() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\]\(([\w.-]+\.md)[)#]", index))
    assert {page.name for page in ROOT.glob("docs/*.md")} - linked == {"index.md"}


def anchors_of(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall("^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def test_links_to_headings_lead_to_headings() -> None:
    for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*/*.md")):
        text = page.read_text(encoding="utf-8")
        for target, anchor in re.findall(r"\]\(([\w./-]*\.md|)#([^)]+)\)", text):
            found = anchors_of(page.parent / target if target else page)
            assert anchor in found, f"{page.name}: {target}#{anchor}"
