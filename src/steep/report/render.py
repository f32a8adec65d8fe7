"""Render a run directory as one HTML page that opens anywhere, offline.

    steep report

The page holds its own style, charts and script, and fetches nothing: its content security policy
allows this script by its hash, and nothing else. Without scripts the page shows the same content;
the script (`scripts/*.js`) adds what needs a click. The same artifacts give the same bytes.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from string import Template

from steep.core.files import write_text
from steep.report.blocks import PageSection, Series
from steep.report.caveats import caveats
from steep.report.drawing import draw_section
from steep.report.html import Html, el, join
from steep.report.results import ResultTables
from steep.report.run_data import ReportData, load_run
from steep.report.sections.closed_book import answers, likelihood, skipped_questions
from steep.report.sections.comparison import comparison
from steep.report.sections.contamination import contamination
from steep.report.sections.corpus import corpus
from steep.report.sections.entities import entities
from steep.report.sections.faithfulness import faithfulness
from steep.report.sections.forgetting import forgetting
from steep.report.sections.generation import generation
from steep.report.sections.header import header, page_title
from steep.report.sections.open_book import open_book
from steep.report.sections.other_methods import other_methods
from steep.report.sections.provenance import configuration, provenance, reproduction
from steep.report.sections.questions import written_questions
from steep.report.sections.scaling import scaling
from steep.report.sections.summaries import summaries
from steep.report.sections.summary import summary
from steep.report.sections.training import training
from steep.scaling.comparison_results import ComparisonResult
from steep.scaling.results import StudyResult

RESULTS: Sequence[Callable[[ResultTables], PageSection | None]] = (
    likelihood,
    answers,
    open_book,
    summaries,
    forgetting,
    other_methods,
)
EVIDENCE: Sequence[Callable[[ResultTables], PageSection | None]] = (faithfulness, contamination)


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
    sections: list[PageSection | None] = [
        summary(run),
        *_sections(RESULTS, run.tables),
        None if run.tables else _nothing(run.tables),
        scaling(run.study) if run.study else None,
        comparison(run.compared) if run.compared else None,
        caveats(run),
        # What it cost.
        generation(run),
        # Evidence: questions and texts.
        written_questions(run.written, run.generator) if run.written else None,
        *_sections(EVIDENCE, run.tables),
        *((corpus(run), entities(run)) if run.corpus else ()),
        # How it was done.
        training(run),
        reproduction(run),
        configuration(run),
        provenance(run),
    ]
    found = [each for each in sections if each]
    return _page(page_title(run), header(run), found, run.series)


def study_page(study: StudyResult, name: str, series: Series) -> str:
    """Return a page with a scaling study alone."""
    title = f"Scaling study of run {name}"
    top = el("header", el("p", "Steep scaling study", class_="eyebrow"), el("h1", title))
    return _page(title, top, [scaling(study)], series)


def comparison_page(found: ComparisonResult, name: str, series: Series) -> str:
    """Return a page with a comparison of recipes alone."""
    title = f"Recipes of run {name}"
    top = el("header", el("p", "Steep comparison", class_="eyebrow"), el("h1", title))
    return _page(title, top, [comparison(found)], series)


def _page(title: str, header: Html, found: Sequence[PageSection], series: Series) -> str:
    drawn = (draw_section(each, series) for each in found)
    script = page_script()
    return Template(_asset("page.html")).substitute(
        title=join([title]).text,
        style=_asset("style.css"),
        script=script,
        script_hash=content_hash(script),
        header=header.text,
        contents=_contents(found).text,
        sections=join(drawn, "\n").text,
    )


def _contents(found: Sequence[PageSection]) -> Html:
    """Return links to the sections; nothing for a page with one."""
    if len(found) < 2:
        return Html("")
    links = [el("a", each.title, href=f"#{each.anchor}") for each in found]
    return el("nav", *links, aria_label="Contents")


def result_sections(tables: ResultTables) -> list[PageSection]:
    """Return the sections of what was measured."""
    return _sections((*RESULTS, *EVIDENCE), tables)


def _sections(
    builders: Sequence[Callable[[ResultTables], PageSection | None]], tables: ResultTables
) -> list[PageSection]:
    return [found for each in builders if (found := each(tables))]


def _nothing(tables: ResultTables) -> PageSection | None:
    """Return the questions that were not scored, where that is all of them."""
    if not tables.skipped:
        return None
    opening = "No question could be scored."
    return PageSection("results", "Results", opening, [skipped_questions(tables)])


def page_script() -> str:
    """Return the script of the page: all files of `scripts`, by name, each in its own scope."""
    folder = files("steep.report").joinpath("scripts")
    sources = sorted(
        (each.name, each.read_text(encoding="utf-8"))
        for each in folder.iterdir()
        if each.name.endswith(".js")
    )
    return '\n"use strict";\n' + "".join(f"{{\n{source}}}\n" for _, source in sources)


def content_hash(text: str) -> str:
    """Return the source expression by which a content security policy allows an inline script."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _asset(name: str) -> str:
    return files("steep.report").joinpath(name).read_text(encoding="utf-8")
