"""What a run came to, in the words that every verdict begins with. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from runner.protocol import Conclusion, SessionResult

Scores = Mapping[str, float | None]

_WORDS: dict[Conclusion | None, str] = {
    Conclusion.FAILURE: "Failed",
    Conclusion.CANCELLED: "Cancelled",
    Conclusion.TIMED_OUT: "The time was up",
    Conclusion.NEUTRAL: "No result",
    Conclusion.SKIPPED: "Skipped",
    Conclusion.ACTION_REQUIRED: "Waiting for approval",
}


def verdict(conclusion: Conclusion | None, reason: str, session: SessionResult | None) -> str:
    """The one sentence about a job that is over; `session` is its first, where there was one."""
    found = achieved(session)
    if conclusion is Conclusion.SUCCESS:
        return found or "Done"
    # A run that failed may still have moved the robot: what it achieved comes after the reason.
    why = (reason or _WORDS.get(conclusion, "Ended")).rstrip(". ")
    return f"{why} ({found[0].lower()}{found[1:]})" if found else why


def achieved(session: SessionResult | None) -> str:
    """What a session came to: `Balanced 14.2 s of 20 s: return -312`. Empty where nothing was scored."""
    if session is None or session.scores.get("episode_return") is None:
        return ""
    return f"{_deed(session.scores, session.steps)}: return {number(session.scores['episode_return'])}"


def _deed(scores: Scores, steps: int) -> str:
    time, share = scores.get("upright_time"), scores.get("upright")
    if time is None or share is None:
        return f"Ran {steps} steps"
    if time < 0.05 or share <= 0:
        return "Never upright"
    return f"Balanced {time:.1f} s of {time / share:.0f} s"


def number(value: float | None) -> str:
    """A score with as many digits as mean something."""
    if value is None:
        return "—"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"
