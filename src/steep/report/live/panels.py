"""The panels of the live page below its head; each is None where there is nothing to show."""

from __future__ import annotations

from collections.abc import Sequence

from steep.core.formatting import cost_of, dollars, duration, plural, shorten
from steep.core.run_progress import TaskProgress
from steep.report.blocks import Block, Cell, Column, Fold, PageSection, Table, facts, table
from steep.report.drawing import draw_section
from steep.report.html import Html, el, join
from steep.report.live.moments import moment
from steep.report.live.now import number_text
from steep.report.live.run import LiveCalls, LiveRun, LiveStage, LiveText
from steep.report.render import result_sections

EXCERPT = 420  # characters of a text; all of it is folded below
MOST_TEXT = 20_000  # characters of a folded text
MOST_FAILURES = 8
TEXTS = 4  # that are not folded
STAGE_STATES = {"done": "done", "running": "running", "stopped": "not finished", "open": "to do"}


def _section(anchor: str, name: str, opening: str | None, *blocks: Block) -> Html:
    return draw_section(PageSection(anchor, name, opening, blocks), {})


def stages(run: LiveRun) -> Html | None:
    """Return the stages of the run and their states."""
    if run.state == "waiting":
        return None
    return _section("stages", "Stages", None, el("ol", *map(_stage, run.stages), class_="stages"))


def _stage(stage: LiveStage) -> Html:
    parts: list[Html | str] = [STAGE_STATES[stage.state]]
    if stage.finished_at:
        parts.append(join([" at ", moment(stage.finished_at)]))
    if stage.wall_s is not None:
        parts.append(f", took {duration(stage.wall_s)}")
    if stage.detail:
        parts.append(f", {stage.detail}")
    current = "step" if stage.state in ("running", "stopped") else None
    detail = el("span", *parts, class_="detail")
    return el("li", el("strong", stage.name), detail, class_=stage.state, aria_current=current)


def tasks(run: LiveRun) -> Html | None:
    """Return the tasks of the command, if there are several."""
    found = run.progress.tasks if run.progress else ()
    if len(found) < 2:
        return None
    columns: list[Column[TaskProgress]] = [("task", lambda task: task.label), ("done", _done_cell)]
    if any(task.failed for task in found):
        columns.append(("failed", lambda task: task.failed))
    if any(task.cost_usd is not None for task in found):
        columns.append(("cost", _cost_cell))
    columns.append(("state", lambda task: _task_state(task, run.is_going)))
    texts = (0, len(columns) - 1)
    current = [task for task in found if not task.finished]
    finished = [task for task in found if task.finished]
    done = table(finished, columns, texts=texts)
    return _section(
        "tasks",
        "Tasks of this command",
        None,
        table(current, columns, texts=texts) if current else None,
        Fold(plural(len(finished), "finished task"), [done]) if finished else None,
    )


def _cost_cell(task: TaskProgress) -> str:
    return "" if task.cost_usd is None else dollars(task.cost_usd)


def _done_cell(task: TaskProgress) -> str:
    of = "" if task.total is None else f" of {number_text(task.total)}"
    return f"{number_text(task.done)}{of} {task.unit}"


def _task_state(task: TaskProgress, is_going: bool) -> str:
    if task.finished:
        return "done"
    if not is_going:
        return "not finished"
    left = "" if task.seconds_left is None else f", about {duration(task.seconds_left)} left"
    return (task.phase or "running") + left


def texts(run: LiveRun) -> Html | None:
    """Return the latest texts."""
    if not run.texts:
        return None
    opening = "The latest accepted answers, the newest first. The list waits while you read it."
    first, earlier = run.texts[:TEXTS], run.texts[TEXTS:]
    fold = Fold(f"{plural(len(earlier), 'earlier text')}", [_cards(earlier)]) if earlier else None
    return _section("texts", "Latest texts", opening, _cards(first), fold)


def _cards(found: Sequence[LiveText]) -> Html:
    return el("div", *map(_card, found), class_="cards beside")


def _card(text: LiveText) -> Html:
    whole = None
    if len(text.text) > EXCERPT:
        body = el("p", shorten(text.text, MOST_TEXT), class_="text")
        whole = el("details", el("summary", "The whole text"), body, data_key=text.call_id)
    about = ", ".join(text.subset)
    pairs: list[tuple[str, Html | str]] = [
        ("document", text.document_id),
        ("recipe", f"{text.recipe}, {text.step}"),
        *([("about", about)] if about else []),
        ("at", moment(text.written_at)),
    ]
    excerpt = el("p", shorten(text.text, EXCERPT), class_="text")
    return el("article", excerpt, whole, facts(pairs, "provenance"), class_="card")


def calls(run: LiveRun) -> Html | None:
    """Return the calls of the ledger by outcome, and why some failed."""
    if not run.calls and not run.requests and not run.imported:
        return None
    imported = f" {plural(run.imported, 'imported text')} are not counted." if run.imported else ""
    return _section(
        "calls",
        "Calls",
        f"All calls in the ledger of the project, by outcome.{imported}",
        _call_table(run.calls, "recipe", "step") if run.calls else None,
        _call_table(run.requests, "purpose", "model") if run.requests else None,
        _failures(run),
    )


def _call_table(calls: Sequence[LiveCalls], group: str, name: str) -> Table:
    outcomes = list(dict.fromkeys(status for each in calls for status in each.counts))
    rows: list[Sequence[Cell]] = [
        (
            each.group,
            each.name,
            *(each.counts.get(status, 0) for status in outcomes),
            each.prompt_tokens,
            each.completion_tokens,
            cost_of(each.known_usd, each.unpriced),
        )
        for each in calls
    ]
    headings = [group, name, *outcomes, "prompt tokens", "completion tokens", "cost"]
    return Table(headings, rows, texts=range(2))


def _failures(run: LiveRun) -> Table | None:
    if not run.failures:
        return None
    shown = list(run.failures.items())[:MOST_FAILURES]
    others = len(run.failures) - len(shown)
    caption = f"And {plural(others, 'other reason')}; steep status --failed lists all."
    return Table(("reason for failure", "calls"), shown, caption if others else None)


def results(run: LiveRun) -> Html | None:
    """Return the results of the evaluation."""
    if run.results is None:
        return None
    found = result_sections(run.results)
    names = dict.fromkeys(run.results.models())
    series = {name: index for index, name in enumerate(names)}
    drawn = join(draw_section(each, series) for each in found)
    if not run.report_is_current:
        return drawn
    return _section("results", "Results", "The report shows them in full.",
                    Fold("The tables of results", [drawn]))  # fmt: skip


def log(run: LiveRun) -> Html | None:
    """Return the last lines of the log."""
    if not run.log:
        return None
    lines = (
        el("li", moment(line.time), " ", line.message, class_=f"level-{line.level.lower()}")
        for line in run.log
    )
    opening = f"The last lines of runs/{run.name}/log.jsonl."
    return _section("log", "Log", opening, el("ol", *lines, class_="log"))
