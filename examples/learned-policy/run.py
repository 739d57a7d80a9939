"""A policy learned in simulation, on the robot: NumPy alone, no deep-learning library needed."""

from pathlib import Path

import gymnasium
import numpy as np

import raas_gym  # noqa: F401 - registers RaasPendulum-v1

Layers = list[tuple[np.ndarray, np.ndarray]]


def load(path: Path) -> Layers:
    """The layers of the network that `train.py` wrote."""
    with np.load(path) as arrays:
        return [(arrays[f"W{number}"], arrays[f"b{number}"]) for number in range(len(arrays.files) // 2)]


def torque(layers: Layers, observation: np.ndarray, last: np.ndarray) -> np.ndarray:
    """The next torque, from the observation (…, 3) and the last torque (…, 1), still on its way perhaps."""
    values = np.concatenate([observation, last], axis=-1)
    *hidden, (weights, offset) = layers
    for matrix, bias in hidden:
        values = np.maximum(values @ matrix + bias, 0.0)
    return 2.0 * np.tanh(values @ weights + offset)


def main() -> None:
    layers = load(Path(__file__).with_name("policy.npz"))
    env = gymnasium.make("RaasPendulum-v1")
    observation, _ = env.reset()
    action, total, upright, steps, ended = np.zeros(1), 0.0, 0, 0, False
    while not ended:
        action = torque(layers, observation, action)
        observation, reward, terminated, truncated, _ = env.step(action)
        total, steps, ended = total + float(reward), steps + 1, terminated or truncated
        upright += observation[0] > np.cos(0.2)
    env.close()
    print(f"return {total:.1f}, upright {100 * upright / steps:.0f}% of {steps} steps")


if __name__ == "__main__":
    main()
