"""What a check run shows of a job: title, summary, text, annotations. Pure; every limit of GitHub's API holds
by construction, and nothing a stranger wrote acts (see `user_text`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from github_app.comparison import Column, Comparison, means, spread
from github_app.job_view import JobView
from github_app.jobs import Status
from github_app.plots import ANIMATION, PLOT, plotted
from github_app.user_text import fenced, head, inline, one_line, plain, tail
from github_app.verdict import RETURN, duration, first_session, give, title
from runner.achievement import number
from runner.protocol import Annotation, Conclusion, SessionResult

TEXT_MAX = 65_535
"""Longest summary and longest text, bytes each."""
ANNOTATIONS_MAX = 50
"""Annotations in one request; there is only one request with annotations."""
ANNOTATION_TITLE_MAX = 255
MESSAGE_MAX = 64 * 1024
"""Longest message of an annotation, bytes."""
NAME_MAX = 100
LOG_LINES = 40
LINE_MAX = 2000
"""Characters of a log line shown."""
ROWS_MAX = 30
"""Scores shown."""
SESSIONS_MAX = 10
"""Sessions shown one by one."""
ARTIFACTS_MAX = 20
"""Links to artifacts; the page has all of them."""
URL_MAX = 400
"""Longest address linked: with it, all parts of a summary fit its limit together."""


@dataclass(frozen=True)
class Output:
    """A check run's `output` object."""

    title: str
    summary: str
    text: str
    annotations: tuple[dict[str, Any], ...] = field(default=())


def check_name(view: JobView) -> str:
    """The check's name: the same for every job that asks for the same robot, so a branch rule can name it."""
    return one_line(f"RaaS: {', '.join(view.robot)}", NAME_MAX)


def output(view: JobView, comparison: Comparison | None = None) -> Output:
    """What to show of the job as it is, beside what it compares with."""
    return Output(
        title=title(view, comparison),
        summary=_with(
            _each_session(view), head("\n\n".join(filter(None, _summary(view, comparison))), TEXT_MAX)
        ),
        text=_text(view),
        annotations=_annotations(view),
    )


def _summary(view: JobView, comparison: Comparison | None) -> list[str]:
    parts = [f"### {inline(title(view, comparison))}"]
    if session := first_session(view):
        parts += [_where(session), _table(view, comparison)]
        parts.append("\n".join(f"- {inline(note, 200)}" for note in session.interventions[:10]))
    if next_step := advice(view):
        parts.append(next_step)
    if not view.private and plotted(view) and len(view.url) <= URL_MAX:
        parts.append(f"![What was measured and applied over time]({view.url}/{PLOT})")
    parts.append(_links(view))
    return parts


def _with(more: str, text: str) -> str:
    """The text and more below it, if all of that fits: half a folded part would swallow the page."""
    whole = f"{text}\n\n{more}" if more else text
    return whole if len(whole.encode()) <= TEXT_MAX else text


def _where(session: SessionResult) -> str:
    return f"On **{inline(session.robot)}** (passport {inline(session.passport)}), {session.steps} steps"


_METRICS = (
    ("episode_return", "return", ""),
    ("upright_time", "upright", " s"),
    ("swing_up_time", "swing-up time", " s"),
    ("energy", "energy", " J"),
    ("smoothness", "torque change a step", ""),
    ("composite", "composite score", ""),
    ("sim_gap", "sim-to-real gap, 0.2 s ahead", " rad"),
)
"""The scores worth a row, with their names for people and units (see `raas_gym.scores`)."""


def metrics(session: SessionResult) -> list[tuple[str, str]]:
    """The scores as (name, value with unit), the known ones first."""
    known = {key for key, _, _ in _METRICS} | {"upright", "ticks", "torque_squared", "speed_squared"}
    rows = [
        (name, f"{number(session.scores[key])}{unit}")
        for key, name, unit in _METRICS
        if session.scores.get(key) is not None
    ]
    rows += [(one_line(key, 60), number(value)) for key, value in session.scores.items() if key not in known]
    if session.late:
        rows.append(("late steps", f"{session.late} of {session.steps}"))
    return rows[:ROWS_MAX]


def _table(view: JobView, comparison: Comparison | None) -> str:
    """This run's scores beside those it compares with; a metric a line."""
    sessions = view.finish.sessions if view.finish else []
    columns = {**_own(sessions), **_others(comparison)}
    names = [name for name, _ in metrics(sessions[0])] if sessions else []
    lines = [f"| metric | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    lines += [
        f"| {inline(name)} | {' | '.join(inline(cells.get(name, '—')) for cells in columns.values())} |"
        for name in names
    ]
    return "\n".join(lines) if names else ""


def _own(sessions: list[SessionResult]) -> dict[str, dict[str, str]]:
    """One session's scores; of several their mean with its spread, and the one of the best return."""
    if len(sessions) == 1:
        return {"this run": dict(metrics(sessions[0]))}
    if not sessions:
        return {}
    shared = means(sessions)
    every = {name: [value for one in sessions if (value := one.scores[name]) is not None] for name in shared}
    columns = {
        f"mean of {len(sessions)} sessions": _cells(
            Column(len(sessions), {name: spread(values) for name, values in every.items()})
        )
    }
    if RETURN in shared:
        best = max(sessions, key=lambda one: one.scores[RETURN] or 0.0)
        columns[f"best, session {best.number + 1}"] = dict(metrics(best))
    return columns


def _others(comparison: Comparison | None) -> dict[str, dict[str, str]]:
    columns = {}
    if comparison and comparison.base:
        branch = inline(comparison.branch, 60)
        columns[f"{branch} (same robot, {_runs(comparison.base)})"] = _cells(comparison.base)
    if comparison and comparison.simulation:
        columns[f"simulation ({_runs(comparison.simulation)})"] = _cells(comparison.simulation)
    return columns


def _runs(column: Column) -> str:
    return f"{column.runs} run{'' if column.runs == 1 else 's'}"


def _cells(column: Column) -> dict[str, str]:
    """A column's values under the names that `metrics` gives them."""
    known = {key: (name, unit) for key, name, unit in _METRICS}
    cells = {}
    for key, value in column.scores.items():
        name, unit = known.get(key, (one_line(key, 60), ""))
        cells[name] = give(value, unit)
    return cells


def _each_session(view: JobView) -> str:
    """Every session's scores, folded away, where there are several."""
    sessions = (view.finish.sessions if view.finish else [])[:SESSIONS_MAX]
    if len(sessions) < 2:
        return ""
    columns = [dict(metrics(session)) for session in sessions]
    names = dict.fromkeys(name for column in columns for name in column)
    heads = " | ".join(f"session {session.number + 1}" for session in sessions)
    lines = [f"| metric | {heads} |", f"|---|{'---|' * len(sessions)}"]
    lines += [
        f"| {inline(name)} | {' | '.join(inline(column.get(name, '—')) for column in columns)} |"
        for name in list(names)[:ROWS_MAX]
    ]
    table = "\n".join(lines)
    return f"<details><summary>Every session</summary>\n\n{table}\n\n</details>"


def advice(view: JobView) -> str:
    """What to do next, where the verdict leaves that open."""
    if view.config_error is not None:
        return "Correct the file and push again; nothing was queued."
    if view.status is Status.COMPLETED and view.conclusion is Conclusion.NEUTRAL:
        return "To run it again, comment `/raas run` on the pull request."
    if view.status is Status.COMPLETED and view.conclusion is Conclusion.TIMED_OUT:
        return (
            f"The limit was {duration(view.timeout_s)} (`timeout` in `.raas.yml`). What was recorded is kept."
        )
    return ""


def _links(view: JobView) -> str:
    links = [f"[Job {view.id}]({view.url})"]
    session = first_session(view)
    if session is not None and session.scores.get("composite") and session.scores.get("swing_up_time"):
        links.insert(0, f"[Replay from first upright]({view.url}#t={session.scores['swing_up_time']:.2f})")
    if view.private and plotted(view):
        links.append(f"[plot]({view.url}/{PLOT})")
    if plotted(view):
        links.append(f"[animation]({view.url}/{ANIMATION})")
    if view.artifacts or view.log:
        links.append(f"[whole log]({view.url}/log)")
    shown = [artifact for artifact in view.artifacts if len(artifact.url) <= URL_MAX][:ARTIFACTS_MAX]
    links += [f"[{inline(artifact.name, 60)}]({artifact.url})" for artifact in shown]
    if len(view.artifacts) > len(shown):
        links.append(f"[all {len(view.artifacts)} artifacts]({view.url})")
    return " · ".join(links)


def _text(view: JobView) -> str:
    """The end of the log, cut from its head until it fits."""
    lines = [line[:LINE_MAX] for line in plain(view.log).rstrip("\n").split("\n")[-LOG_LINES:]]
    if not any(lines):
        return ""
    before = f"<details><summary>Last {len(lines)} log lines</summary>\n\n"
    after = "\n\n</details>"
    room = TEXT_MAX - len(before) - len(after) - 100  # the fences take at most 50 bytes
    return f"{before}{fenced(tail(chr(10).join(lines), room))}{after}"


def _annotations(view: JobView) -> tuple[dict[str, Any], ...]:
    if view.config_error is not None:
        error = view.config_error
        found = [
            Annotation(path=error.path, line=error.line, title="Invalid file", message=error.message[:4000])
        ]
    else:
        found = view.finish.annotations if view.finish else []
    return tuple(_annotation(item) for item in found if _in_repository(item.path))[:ANNOTATIONS_MAX]


def _annotation(item: Annotation) -> dict[str, Any]:
    return {
        "path": item.path,
        "start_line": item.line,
        "end_line": item.line,
        "annotation_level": "failure",
        "title": one_line(item.title, ANNOTATION_TITLE_MAX) or "Error",
        "message": head(plain(item.message), MESSAGE_MAX).strip() or "No message.",
    }


def _in_repository(path: str) -> bool:
    return one_line(path, 500) == path and not path.startswith("/") and ".." not in path.split("/")
