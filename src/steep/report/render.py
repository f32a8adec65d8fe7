"""A run directory becomes one HTML page that opens anywhere, offline, for ever.

    steep report

The page holds its own style and charts, runs no script and fetches nothing: its content security
policy forbids both. The same artifacts give the same bytes.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from string import Template

from steep.core.files import write_text
from steep.report.components import PageSection
from steep.report.html import Html, el, join
from steep.report.loader import load_run
from steep.report.sections import (
    answers,
    corpus,
    entities,
    forgetting,
    header,
    ledger,
    meaning,
    open_book,
    record,
    results,
    summaries,
    training,
)
from steep.report.view_models import ReportData

PARTS = (
    results.results,
    answers.answers,
    open_book.open_book,
    summaries.summaries,
    forgetting.forgetting,
    meaning.meaning,
    ledger.ledger,
    entities.entities,
    training.training,
    corpus.corpus,
    record.record,
)


def render_report(project_root: Path, run_directory: Path) -> Path:
    """Write `report.html` into the run directory and return its path.

    Raises:
        UserError: The run or an artifact that it names is not there.
    """
    path = run_directory / "report.html"
    write_text(path, page(load_run(project_root, run_directory)))
    return path


def page(run: ReportData) -> str:
    """The whole page."""
    parts = [found for part in PARTS if (found := part(run)) is not None]
    return Template(_asset("page.html")).substitute(
        title=join([header.page_title(run)]).text,
        style=_asset("style.css"),
        header=header.header(run).text,
        contents=_contents(parts).text,
        sections=join([part.body for part in parts], "\n").text,
    )


def _contents(parts: list[PageSection]) -> Html:
    links = [el("a", part.title, href=f"#{part.anchor}") for part in parts]
    return el("nav", *links, aria_label="Contents")


def _asset(name: str) -> str:
    return files("steep.report").joinpath(name).read_text(encoding="utf-8")
