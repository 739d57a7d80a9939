"""The buttons of a check run: which are offered for a job as it is, and what pressing one means. Pure.

A press arrives as the identifier alone, in a delivery that may be old: it counts only if the button is
offered for the job's state at that moment (`named`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from github_app.jobs import Status
from runner.protocol import Conclusion


class Press(str, Enum):
    """The identifiers GitHub sends back, at most 20 characters. They are out there: add, never rename."""

    RUN_AGAIN = "run_again"
    CANCEL = "cancel"
    APPROVE = "approve"


@dataclass(frozen=True)
class Button:
    """A button as GitHub's API wants it: label at most 20 characters, description at most 40."""

    label: str
    description: str
    identifier: str


_BUTTONS = {
    Press.RUN_AGAIN: Button("Run again", "The same commit once more, as a new job", Press.RUN_AGAIN.value),
    Press.CANCEL: Button("Cancel", "Take it out of the queue, or stop it", Press.CANCEL.value),
    Press.APPROVE: Button("Approve run", "Run exactly this commit of the fork", Press.APPROVE.value),
}


def offered(status: Status, conclusion: Conclusion | None) -> tuple[Press, ...]:
    """What may be pressed at a job in this state."""
    if status is not Status.COMPLETED:
        return (Press.CANCEL,)
    if conclusion is Conclusion.ACTION_REQUIRED:
        return (Press.APPROVE,)
    return (Press.RUN_AGAIN,)


def shown(status: Status, conclusion: Conclusion | None) -> list[Button]:
    """The buttons of a job's check run, at most three."""
    return [_BUTTONS[press] for press in offered(status, conclusion)]


def named(identifier: str, status: Status, conclusion: Conclusion | None) -> Press | None:
    """The button of this identifier, if the job offers it now."""
    return next((press for press in offered(status, conclusion) if press.value == identifier), None)
