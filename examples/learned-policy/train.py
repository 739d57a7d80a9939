"""Train the policy that `run.py` runs: SAC in simulation, each episode on another pendulum.

    pip install "raas-gym[train]"
    python train.py                  # about five minutes on one core; writes policy.npz

Every episode begins hanging at rest, on `measured` dynamics with parameters drawn anew
(`randomize=True`), so that the policy learns what all robots of one build have in common.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import gymnasium
import numpy as np
import torch
from run import Layers, load, torque
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

import raas_gym  # noqa: F401 - registers RaasPendulum-v1

# What the network sees and earns has about the size of 1; velocities, torques and costs are larger.
SCALE = np.array([1.0, 1.0, 0.125, 0.5], np.float32)
REWARD_SCALE = 0.1
CONDITIONS = {
    "measured": {},
    "measured, randomised": {"randomize": True},
    "raw motor, randomised": {"params": "raw_motor", "randomize": True},
}
VALIDATION, EVALUATION = 1_000_000, 2_000_000  # seeds of pendulums that the training does not see


class PendulumVec(VecEnv):
    """RaaS's vector environment, as Stable-Baselines3 wants to see one. Observations have the last action."""

    def __init__(self, num_envs: int, seed: int) -> None:
        self.envs = gymnasium.make_vec(
            "RaasPendulum-v1",
            num_envs=num_envs,
            dtype="float32",
            randomize=True,
            autoreset_mode="SameStep",
        )
        space = gymnasium.spaces.Box(-np.inf, np.inf, (4,), np.float32)
        super().__init__(num_envs, space, self.envs.single_action_space)
        self.first_seed = seed

    def reset(self):
        observations, _ = self.envs.reset(seed=self.first_seed)
        return with_last(observations, np.zeros((self.num_envs, 1)))

    def step_async(self, actions):
        self.actions = actions

    def step_wait(self):
        observations, rewards, _, truncated, info = self.envs.step(self.actions)
        infos = [{} for _ in range(self.num_envs)]
        for row in np.flatnonzero(truncated):
            last = with_last(info["final_obs"][row], self.actions[row])
            infos[row] = {"terminal_observation": last, "TimeLimit.truncated": True}
        last_actions = np.where(truncated[:, None], 0.0, self.actions)
        return with_last(observations, last_actions), rewards * REWARD_SCALE, truncated, infos

    def close(self):
        self.envs.close()

    def get_attr(self, attr_name, indices=None):
        return [getattr(self.envs, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name, value, indices=None):
        raise NotImplementedError("these pendulums share their attributes")

    def env_method(self, method_name, *args, indices=None, **kwargs):
        raise NotImplementedError("these pendulums have no methods of their own")

    def env_is_wrapped(self, wrapper_class, indices=None):
        return [False] * len(list(self._get_indices(indices)))


def with_last(observations, actions):
    """What the network sees: the observation and the last action, scaled."""
    return np.concatenate([observations, actions], axis=-1).astype(np.float32) * SCALE


class Best(BaseCallback):
    """After each round of episodes, try the policy on unseen pendulums and keep the best so far.

    Soft actor-critic goes on exploring, and its latest policy is rarely its best. The best is the one that
    holds most pendulums up in the condition that suits it least; then the one with the highest return.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.best = path, (-1.0, -np.inf)

    def _on_step(self) -> bool:
        if self.n_calls % 400 == 0:
            layers = layers_of(self.model)
            trials = [trial(layers, 200, VALIDATION, **options) for options in CONDITIONS.values()]
            held = min(float(one.held.mean()) for one in trials)
            score = held, float(np.mean([one.returns for one in trials]))
            mark = ""
            if score > self.best:
                self.best, mark = score, "  best"
                save(layers, self.path)
            print(f"{self.num_timesteps} steps: held {score[0]:.0%}, return {score[1]:.0f}{mark}", flush=True)
        return True


def layers_of(model: SAC) -> Layers:
    """The actor's layers, as `run.torque` wants them."""
    parts = [part for part in model.actor.latent_pi if isinstance(part, torch.nn.Linear)] + [model.actor.mu]
    layers = [(part.weight.detach().numpy().T.copy(), part.bias.detach().numpy().copy()) for part in parts]
    (first, bias), *others = layers
    return [(first * SCALE[:, None], bias), *others]


def save(layers: Layers, path: Path) -> None:
    """W0, b0, W1, b1, …"""
    arrays = {}
    for number, (matrix, bias) in enumerate(layers):
        arrays[f"W{number}"], arrays[f"b{number}"] = matrix, bias
    np.savez_compressed(path, **arrays)


class Trial(NamedTuple):
    """What a policy achieved on some pendulums: arrays with one entry each."""

    returns: np.ndarray
    upright: np.ndarray  # share of the 20 s
    held: np.ndarray  # upright throughout the last 10 s


def trial(layers: Layers, pendulums: int, seed: int, **options) -> Trial:
    """Let a policy swing up some pendulums."""
    envs = gymnasium.make_vec("RaasPendulum-v1", num_envs=pendulums, **options)
    observations, _ = envs.reset(seed=seed)
    actions, returns, upright = np.zeros((pendulums, 1)), np.zeros(pendulums), []
    for _ in range(400):
        actions = torque(layers, observations, actions)
        observations, rewards, *_ = envs.step(actions)
        returns += rewards
        upright.append(observations[:, 0] > np.cos(0.2))
    return Trial(returns, np.mean(upright, axis=0), np.all(upright[200:], axis=0))


def evaluate(path: Path, pendulums: int = 50) -> None:
    """Print what the policy achieves on pendulums that neither training nor selection has seen."""
    layers = load(path)
    for name, options in CONDITIONS.items():
        result = trial(layers, pendulums, EVALUATION, **options)
        print(
            f"{name}: return {result.returns.mean():.0f} (worst {result.returns.min():.0f}),"
            f" upright {result.upright.mean():.0%} of 20 s (worst {result.upright.min():.0%}),"
            f" {result.held.sum()} of {pendulums} upright throughout the last 10 s"
        )


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--steps", type=int, default=160_000, help="environment steps in all")
    arguments.add_argument("--envs", type=int, default=16, help="pendulums at once")
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--out", type=Path, default=Path(__file__).with_name("policy.npz"))
    chosen = arguments.parse_args()
    torch.set_num_threads(1)
    model = SAC(
        "MlpPolicy",
        PendulumVec(chosen.envs, chosen.seed),
        learning_rate=lambda remaining: 1e-4 + 9e-4 * remaining,
        buffer_size=chosen.steps,
        learning_starts=400 * chosen.envs,
        batch_size=256,
        gamma=0.99,
        train_freq=1,
        gradient_steps=4,
        policy_kwargs={"net_arch": [64, 64]},
        seed=chosen.seed,
    )
    model.learn(chosen.steps, callback=Best(chosen.out))
    evaluate(chosen.out)


if __name__ == "__main__":
    main()
