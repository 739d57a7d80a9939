"""Swing the pendulum up by shaping its energy, catch it near the top, and balance it with an LQR.

The same file runs in simulation at home (`python run.py`) and on the robot.
"""

from pathlib import Path

import gymnasium as gym
import numpy as np

import raas_gym  # noqa: F401 - registers RaasPendulum-v1

GRAVITY, GAIN, DAMPING = 28.6, 8.0, 1.0  # 1/s², rad/s² per unit of torque, 1/s: see README.md
DT, DELAY = 0.05, 0.035  # s: control period; motor's delay plus half the velocity estimate's window
MAX_TORQUE = 2.0
STEPS = 400


def discretised() -> tuple[np.ndarray, np.ndarray]:
    """The pendulum about upright over one period, state (θ, θ̇, previous torque): x' = A x + B u."""
    steps = 1000
    h = DT / steps
    a, b_old, b_new = np.eye(2), np.zeros(2), np.zeros(2)
    flow = np.eye(2) + h * np.array([[0.0, 1.0], [GRAVITY, -DAMPING]])
    for step in range(steps):
        a, b_old, b_new = flow @ a, flow @ b_old, flow @ b_new
        (b_old if step * h < DELAY else b_new)[1] += h * GAIN
    return np.block([[a, b_old[:, None]], [np.zeros((1, 3))]]), np.array([[*b_new, 1.0]]).T


def lqr(a: np.ndarray, b: np.ndarray, q: np.ndarray, r: float) -> np.ndarray:
    """The feedback K of u = -K x that minimises Σ x'q x + r u² (Riccati equation, by iteration)."""
    p = q.copy()
    for _ in range(500):
        k = np.linalg.solve(r + b.T @ p @ b, b.T @ p @ a)
        p = q + a.T @ p @ (a - b @ k)
    return k[0]


BALANCE = lqr(*discretised(), q=np.diag([10.0, 0.3, 0.0]), r=1.0)


def torque(theta: float, theta_dot: float, previous: float) -> float:
    """The action for an angle (0 = upright) and velocity; `previous` is the action before."""
    feedback = -float(BALANCE @ (theta, theta_dot, previous))
    if abs(theta) < 0.5 and abs(feedback) < 2.5 * MAX_TORQUE:
        return feedback
    energy = 0.5 * theta_dot**2 + GRAVITY * (np.cos(theta) - 1.0)  # 0 for standing upright
    if abs(theta_dot) < 0.3 and np.cos(theta) < -0.9:
        return MAX_TORQUE  # hanging still: any push will do
    # Push with the motion while there is too little energy, against it when there is too much.
    return float(np.clip(-0.6 * energy, -MAX_TORQUE, MAX_TORQUE) * np.sign(theta_dot))


def main() -> None:
    env = gym.make("RaasPendulum-v1")
    (x, y, theta_dot), _ = env.reset(seed=0)
    action, total, angles = 0.0, 0.0, []
    for _ in range(STEPS):
        theta = float(np.arctan2(y, x))
        angles.append(theta)
        action = float(np.clip(torque(theta, float(theta_dot), action), -MAX_TORQUE, MAX_TORQUE))
        (x, y, theta_dot), reward, _, _, _ = env.step(np.array([action], dtype=np.float32))
        total += float(reward)
    env.close()
    report(np.array(angles), total)


def report(angles: np.ndarray, total: float) -> None:
    """Print the result; in a job, also leave it and a picture among the artifacts."""
    upright = np.abs(angles) < 0.2
    first = f"{upright.argmax() * DT:.2f} s" if upright.any() else "never"
    text = f"return {total:.1f}, upright {upright.mean():.0%} of {STEPS * DT:.0f} s, first upright: {first}"
    print(text)
    artifacts = Path("/artifacts")
    if artifacts.is_dir():
        (artifacts / "result.txt").write_text(text + "\n")
        points = " ".join(f"{2 * step},{100 - 30 * angle:.1f}" for step, angle in enumerate(angles))
        (artifacts / "angle.svg").write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * STEPS} 200">'
            f'<path d="M0 100H{2 * STEPS}" stroke="gray"/>'
            f'<polyline points="{points}" fill="none" stroke="black"/></svg>\n'
        )


if __name__ == "__main__":
    main()
