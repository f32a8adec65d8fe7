"""Render a run directory as one HTML page that opens anywhere, offline.

    steep report

The page holds its own style and charts, runs no script and fetches nothing: its content security
policy forbids both. The same artifacts give the same bytes.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from string import Template

from steep.core.files import write_text
from steep.report.caveats import caveats
from steep.report.components import PageSection
from steep.report.html import Html, el, join
from steep.report.loader import load_run
from steep.report.sections.answers import answers
from steep.report.sections.corpus import corpus
from steep.report.sections.entities import entities
from steep.report.sections.forgetting import forgetting
from steep.report.sections.generation import generation
from steep.report.sections.header import header, page_title
from steep.report.sections.likelihood import likelihood
from steep.report.sections.open_book import open_book
from steep.report.sections.other_methods import other_methods
from steep.report.sections.provenance import provenance
from steep.report.sections.summaries import summaries
from steep.report.sections.training import training
from steep.report.view_models import ReportData

SECTIONS = (
    likelihood,
    answers,
    open_book,
    summaries,
    forgetting,
    other_methods,
    caveats,
    generation,
    entities,
    training,
    corpus,
    provenance,
)


def render_report(project_root: Path, run_directory: Path) -> Path:
    """Write `report.html` into the run directory and return its path.

    Raises:
        UserError: The run or one of its artifacts is missing.
    """
    path = run_directory / "report.html"
    write_text(path, page(load_run(project_root, run_directory)))
    return path


def page(run: ReportData) -> str:
    """Return the page of a run."""
    parts = [found for each in SECTIONS if (found := each(run)) is not None]
    return Template(_asset("page.html")).substitute(
        title=join([page_title(run)]).text,
        style=_asset("style.css"),
        header=header(run).text,
        contents=_contents(parts).text,
        sections=join([part.body for part in parts], "\n").text,
    )


def _contents(parts: list[PageSection]) -> Html:
    links = [el("a", part.title, href=f"#{part.anchor}") for part in parts]
    return el("nav", *links, aria_label="Contents")


def _asset(name: str) -> str:
    return files("steep.report").joinpath(name).read_text(encoding="utf-8")
