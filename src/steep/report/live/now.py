"""The head of the live page: what runs now, how far it is, and what it has cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from steep.core.formatting import UNKNOWN, count, dollars, duration, percent
from steep.core.run_progress import TaskProgress
from steep.report.blocks import facts
from steep.report.html import Html, el, join
from steep.report.live.moments import moment
from steep.report.live.run import LiveCalls, LiveRun

SHOWN_BELOW = ("latest",)  # facts of which the page has more
LEAST_RATE = 0.1  # per second; below, a rate is shown per minute
HEADLINES = {
    "waiting": "Waiting for a run",
    "running": "Running",
    "active": "Running",
    "done": "Finished",
    "failed": "Failed",
    "stopped": "Stopped",
    "interrupted": "Not running",
    "idle": "Not running",
}


def headline(run: LiveRun) -> str:
    """Return what the run does, in a few words."""
    return _headline(run, run.doing)


def announcement(run: LiveRun) -> str:
    """Return the same by stage, not by task: for the terminal, and for who hears the page."""
    return _headline(run, run.stage_name)


def _headline(run: LiveRun, doing: str) -> str:
    words = HEADLINES[run.state]
    if run.state == "done" and run.progress:
        return f"{words}: {run.command}"
    return f"{words}: {doing}" if doing else words


def title(run: LiveRun) -> str:
    """Return the title of the page, which a tab shows: the share that is done comes first."""
    share = share_of(run.task) if run.is_going and run.task else None
    done = "" if share is None else f"{percent(share, 0)} "
    return f"{done}{headline(run)} ({run.name})"


def now(run: LiveRun) -> Html:
    """Return the panel."""
    task = run.task
    share = share_of(task) if task else None
    bar = None
    if task is not None and share is not None and run.is_going:
        text = f"{percent(share, 0)} of {task.label}"
        bar = el("progress", max=1, value=share, class_="live-bar", aria_label=text)
    return el(
        "header",
        el("p", f"Steep live view, run {run.name}", class_="eyebrow"),
        el("h1", headline(run)),
        el("p", _sentence(run), class_="lede"),
        bar,
        facts(_figures(run), "tiles") if run.state != "waiting" else None,
        _facts_of_task(task) if task and run.is_going else None,
        *(el("p", note, class_="alarm") for note in run.notes),
        _report_link(run),
    )


def _sentence(run: LiveRun) -> Html:
    """Return what is going on, in a sentence or two."""
    command = run.command or "a command"
    seen = moment(run.seen_at) if run.seen_at else None
    match run.state:
        case "waiting":
            return join(
                ["Start steep run, or another command, in this project: the page follows it."]
            )
        case "running":
            return join([_amount(run.task) if run.task else f"{command} has started."])
        case "active":
            return join(
                [
                    "Files of the project change. The command does not write how far it is; what "
                    "follows is read from its results."
                ]
            )
        case "done":
            return join(["It ended at ", seen, "."])
        case "failed":
            return join([_last_error(run) or f"{command} ended with an error at ", seen, "."])
        case "stopped":
            again = "The same command continues where it was."
            return join([f"{command} was stopped at ", seen, f". {again}"])
        case "interrupted":
            ended = f"{command} has ended and did not say how; it was last seen at "
            return join([ended, seen, ". The same command continues where it was."])
        case _:
            return join(["No command runs. The files of the run last changed at ", seen, "."])


def _amount(task: TaskProgress) -> str:
    amount = f"{number_text(task.done)} {task.unit}" if task.total is None else _of_total(task)
    left = f", about {duration(task.seconds_left)} left" if task.seconds_left is not None else ""
    phase = f" Phase: {task.phase}." if task.phase else ""
    return f"{amount}{left}.{phase}"


def _of_total(task: TaskProgress) -> str:
    share = share_of(task)
    shown = f" ({percent(share, 0)})" if share is not None else ""
    return f"{number_text(task.done)} of {number_text(task.total or 0)} {task.unit}{shown}"


def number_text(value: float) -> str:
    """Return an amount of work; fractions of calls are possible."""
    return count(value) if value == int(value) else f"{value:,.1f}"


def share_of(task: TaskProgress | None) -> float | None:
    """Return the completed share of a task; None if it has no total."""
    if task is None or not task.total:
        return None
    return min(1.0, max(0.0, task.done / task.total))


def _figures(run: LiveRun) -> Iterator[tuple[str, str]]:
    """Yield names and values of the tiles: the current task, then the ledger of the project."""
    task = run.task if run.is_going else None
    rate = task.rate_per_s if task else None
    if task is not None and rate is not None:
        yield f"{task.unit} per {_per(rate)}", _rate(rate)
    if task is not None and task.in_flight:
        yield "in flight", count(task.in_flight)
    if task is not None and task.failed:
        yield "failed", count(task.failed)
    if task is not None and task.cost_usd is not None:
        yield "cost of this command", dollars(task.cost_usd)
    if task is not None and task.projected_cost_usd is not None:
        yield "projected, about", dollars(task.projected_cost_usd)
    if run.is_going and task is None and run.calls_per_s is not None:
        yield f"calls per {_per(run.calls_per_s)}", _rate(run.calls_per_s)
        yield "tokens per second", count(run.tokens_per_s or 0)
    every = [*run.calls, *run.requests]
    if every:
        yield "calls of the project", count(sum(sum(each.counts.values()) for each in every))
        yield "spent in the project", _cost(every)


def _per(rate_per_s: float) -> str:
    return "second" if rate_per_s >= LEAST_RATE else "minute"


def _rate(rate_per_s: float) -> str:
    return f"{rate_per_s if rate_per_s >= LEAST_RATE else 60 * rate_per_s:,.1f}"


def _cost(calls: Sequence[LiveCalls]) -> str:
    known = sum(each.known_usd for each in calls)
    unpriced = sum(each.unpriced for each in calls)
    if not unpriced:
        return dollars(known)
    return f"over {dollars(known)}" if known else UNKNOWN


def _facts_of_task(task: TaskProgress) -> Html | None:
    shown = {name: value for name, value in task.facts.items() if name not in SHOWN_BELOW}
    pairs = [(name.replace("_", " "), value) for name, value in shown.items()]
    return facts(pairs, "facts") if pairs else None


def _last_error(run: LiveRun) -> str | None:
    errors = [line.message for line in run.log if line.level == "ERROR"]
    return f"{errors[-1]} The command ended at " if errors else None


def _report_link(run: LiveRun) -> Html | None:
    if run.report_at is None:
        return None
    link = el("a", "Open the report", href="/report", class_="live-report")
    if run.report_is_current:
        return el("p", link, " of this run: it is ready.", class_="live-ready")
    earlier = join([" of an earlier run, written at ", moment(run.report_at), "."])
    return el("p", link, earlier, class_="live-earlier")
