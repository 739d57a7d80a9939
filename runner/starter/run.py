"""Swing the pendulum up and hold it. The same file runs at home in simulation and on the robot."""

from pathlib import Path

import gymnasium as gym
import numpy as np

import raas_gym  # noqa: F401 - registers RaasPendulum-v1

STEPS = 400  # 20 s: the horizon over which a run is scored


def policy(observation: np.ndarray) -> float:
    """The torque, -2 to 2, for an observation (cos θ, sin θ, θ̇) with θ = 0 upright. Make it better."""
    cos_theta, sin_theta, theta_dot = map(float, observation)
    if cos_theta > 0.9:
        return -25.0 * sin_theta - 5.0 * theta_dot  # near the top: hold
    energy = 0.5 * theta_dot**2 + 28.6 * (cos_theta - 1.0)  # 0 would just reach the top
    return float(np.sign(theta_dot) or 1.0) * float(np.clip(-0.5 * energy, -2.0, 2.0))


def main() -> None:
    """Run one episode and leave the result among the job's artifacts."""
    env = gym.make("RaasPendulum-v1")
    observation, _ = env.reset(seed=0)
    total = 0.0
    for _ in range(STEPS):
        action = np.clip([policy(observation)], -2.0, 2.0).astype(np.float32)
        observation, reward, _, _, _ = env.step(action)
        total += float(reward)
    env.close()
    print(f"return {total:.1f}")
    if (artifacts := Path("/artifacts")).is_dir():
        (artifacts / "result.txt").write_text(f"{total}\n")


if __name__ == "__main__":
    main()
