"""The verdict: what became of a job, in words a person would use. Pure; the first thing every page says."""

from __future__ import annotations

from github_app.comparison import Comparison, Spread, means, spread
from github_app.job_view import JobView
from github_app.jobs import Status
from github_app.outlook import DRAINED, Robot, Waiting
from github_app.rules import OUTSIDE_HOURS
from github_app.user_text import one_line
from runner.achievement import number, verdict
from runner.protocol import Conclusion, SessionResult

TITLE_MAX = 150
"""Characters: what GitHub shows of a title beside the check's name without cutting it."""


RETURN = "episode_return"


def title(view: JobView, comparison: Comparison | None = None) -> str:
    """One line without markup, at most `TITLE_MAX` characters."""
    return one_line(_title(view) + _beside(view, comparison), TITLE_MAX)


def _beside(view: JobView, comparison: Comparison | None) -> str:
    """The base branch's return in brackets: ` (main -845 ± 60)`."""
    base = comparison.base if comparison else None
    if view.conclusion is not Conclusion.SUCCESS or comparison is None or base is None:
        return ""
    session = first_session(view)
    if RETURN not in base.scores or session is None or session.scores.get(RETURN) is None:
        return ""
    return f" ({one_line(comparison.branch, 40)} {give(base.scores[RETURN])})"


def give(value: Spread, unit: str = "") -> str:
    """A mean with its spread: `-845 ± 60 s`."""
    deviation = "" if value.deviation is None else f" ± {number(value.deviation)}"
    return f"{number(value.mean)}{deviation}{unit}"


def _title(view: JobView) -> str:
    if view.waiting is not None:
        return f"Queued: {waiting(view.waiting, view.robot)}"
    if view.status is Status.CLAIMED:
        return f"Preparing on {view.runner}" + (f": {view.phase}" if view.phase else "")
    if view.status is Status.RUNNING:
        return f"Running on {view.runner}" + (": stopping" if view.cancel_reason else "")
    return _ended(view)


def _ended(view: JobView) -> str:
    if view.config_error is not None:
        error = view.config_error
        return f"{error.path} line {error.line}: {error.message}"
    if view.conclusion is Conclusion.SUCCESS and (several := _several(view)):
        return several
    return verdict(view.conclusion, view.reason, first_session(view))


def _several(view: JobView) -> str:
    """What several sessions came to: `5 sessions: return -312 ± 40, best -280`."""
    sessions = view.finish.sessions if view.finish else []
    if len(sessions) < 2 or RETURN not in means(sessions):
        return ""
    returns = [value for one in sessions if (value := one.scores[RETURN]) is not None]
    return f"{len(sessions)} sessions: return {give(spread(returns))}, best {number(max(returns))}"


def first_session(view: JobView) -> SessionResult | None:
    """What was recorded first, if the robot moved."""
    return view.finish.sessions[0] if view.finish and view.finish.sessions else None


def waiting(waits: Waiting, robot: tuple[str, ...]) -> str:
    """Why a job waits, and how long it will."""
    place = "next" if waits.position == 1 else f"number {waits.position} in line"
    wanted = " + ".join(robot)
    if not waits.robots:
        return f"{place}, but no robot with the labels {wanted} has joined yet"
    fit = [robot for robot in waits.robots if robot.online and robot.healthy]
    if not fit:
        return f"{place}; {_unfit(max(waits.robots, key=_last_seen))}"
    if waits.position == 1 and any(not robot.busy for robot in fit):
        return f"next for {wanted}"
    return f"{place} for {wanted}{_estimate(waits.begins_in_s)}"


def _last_seen(robot: Robot) -> float:
    return robot.seen_at.timestamp() if robot.seen_at else 0.0


def _unfit(robot: Robot) -> str:
    if not robot.online:
        since = f"{robot.seen_at:%d %b %H:%M} UTC" if robot.seen_at else "ever"
        return f"{robot.name} is offline since {since}"
    if robot.message.startswith((OUTSIDE_HOURS, DRAINED)):
        return f"{robot.name} is {robot.message}"
    return f"{robot.name} is not fit to run" + (f": {robot.message}" if robot.message else "")


def _estimate(seconds: float | None) -> str:
    if not seconds:
        return ""
    return f", about {duration(seconds)}"


def duration(seconds: float) -> str:
    """A time span in words: `45 s`, `12 min`, `3 h 20 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    hours, minutes = divmod(minutes, 60)
    if not hours:
        return f"{minutes} min"
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
