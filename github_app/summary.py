"""What a check run shows of a job: title, summary, text, annotations. Pure; every limit of GitHub's API holds
by construction, and nothing a stranger wrote acts (see `user_text`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from github_app.job_view import JobView
from github_app.jobs import Status
from github_app.user_text import fenced, head, inline, one_line, plain, tail
from github_app.verdict import duration, first_session, title
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


def output(view: JobView) -> Output:
    """What to show of the job as it is."""
    return Output(
        title=title(view),
        summary=head("\n\n".join(part for part in _summary(view) if part), TEXT_MAX),
        text=_text(view),
        annotations=_annotations(view),
    )


def _summary(view: JobView) -> list[str]:
    parts = [f"### {inline(title(view))}"]
    if session := first_session(view):
        parts += [_where(session), _table(view)]
        parts.append("\n".join(f"- {inline(note, 200)}" for note in session.interventions[:10]))
    if next_step := advice(view):
        parts.append(next_step)
    parts.append(_links(view))
    return parts


def _where(session: SessionResult) -> str:
    return f"On **{inline(session.robot)}** (passport {inline(session.passport)}), {session.steps} steps"


_METRICS = (
    ("episode_return", "return", ""),
    ("upright_time", "upright", " s"),
    ("swing_up_time", "swing-up time", " s"),
    ("energy", "energy", " J"),
    ("smoothness", "torque change a step", ""),
    ("composite", "composite score", ""),
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
    return rows[:30]


def _table(view: JobView) -> str:
    sessions = view.finish.sessions[:10] if view.finish else []
    columns = [dict(metrics(session)) for session in sessions]
    names = dict.fromkeys(name for column in columns for name in column)
    heads = ["this run"] if len(sessions) == 1 else [f"session {session.number + 1}" for session in sessions]
    lines = [f"| metric | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    lines += [
        f"| {inline(name)} | {' | '.join(inline(column.get(name, '—')) for column in columns)} |"
        for name in names
    ]
    return "\n".join(lines) if names else ""


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
