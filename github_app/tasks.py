"""The leaderboard's tasks: what is scored, and how. The only place to add one.

A score is one of those that the controller computed from its own recording (`raas_gym.scores`): over the
fixed horizon of the first episode of a job's first session. User code has no say in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """One thing to be good at.

    Attributes:
        name: In addresses and in the database; it never changes.
        title: For people.
        kind: Which kind of robot it is for.
        score: Which of the controller's scores.
        unit: The score's, for people.
        smaller_is_better: Which way is up.
        needs: Another score that has to be above zero for this one to mean anything, or "".
        about: One sentence: what to do.
        formula: The definition; line by line.
    """

    name: str
    title: str
    kind: str
    score: str
    unit: str
    smaller_is_better: bool
    needs: str
    about: str
    formula: tuple[str, ...]

    def achieved(self, scores: Mapping[str, float | None]) -> float | None:
        """The run's score at this task; None where it has none."""
        if self.needs and not scores.get(self.needs):
            return None
        return scores.get(self.score)

    def rank(self, score: float) -> float:
        """Larger is better."""
        return -score if self.smaller_is_better else score


TASKS = (
    Task(
        name="return",
        title="Return",
        kind="pendulum",
        score="episode_return",
        unit="",
        smaller_is_better=False,
        needs="",
        about="Swing the pendulum up and hold it, early and gently. Closer to zero is better.",
        formula=(
            "R = Σ rₖ,  k = 1 … 400",
            "rₖ = −(θₖ² + 0.1 θ̇ₖ² + 0.001 uₖ²)",
            "θ from upright in (−π, π] rad, θ̇ in rad/s, u the applied torque, ±2; 400 ticks of 0.05 s are"
            " 20 s. A tick that is missing costs as much as the worst one.",
        ),
    ),
    Task(
        name="swing-up",
        title="Swing-up time",
        kind="pendulum",
        score="swing_up_time",
        unit="s",
        smaller_is_better=True,
        needs="composite",
        about="Be upright as soon as you can, and stay so for a second. Shorter is better.",
        formula=(
            "T = min { t : |θ(τ)| ≤ 0.2 rad for all τ in [t, t + 1 s] }",
            "within 20 s from the first reset; a run that never holds is not ranked.",
        ),
    ),
    Task(
        name="realaigym",
        title="RealAIGym score",
        kind="pendulum",
        score="composite",
        unit="",
        smaller_is_better=False,
        needs="composite",
        about="All at once: fast, sparing, gentle and smooth. 1 would be perfect.",
        formula=(
            "S = c · (1 − ⅕ Σ tanh(π cᵢ / nᵢ))",
            "over swing-up time (n = 20 s), energy Σ|u θ̇| dt (60), Σu² dt (100), mean |uₖ − uₖ₋₁| (4)"
            " and Σθ̇² dt (400); c = 1 if a swing-up happened, else 0.",
        ),
    ),
)


def named(name: str) -> Task | None:
    """The task of this name."""
    return next((task for task in TASKS if task.name == name), None)
