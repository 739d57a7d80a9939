"""EnvHost and RemoteEnv over a real Unix socket: the clock, the record, and every way a session ends."""

from __future__ import annotations

import json
import math
import threading
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gym_hosting import Hosted, WatchedPlant, pendulum, push, stopped, wait_until
from gymnasium import spaces
from gymnasium.error import ClosedEnvironmentError, InvalidAction, ResetNeeded

from raas_gym import PendulumEnv
from raas_gym.host import EnvHost
from raas_gym.plants import PlantError
from raas_gym.remote import RemoteEnv, RemotePendulumEnv, SessionError


def test_the_robot_and_a_simulation_answer_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local = gymnasium.make("RaasPendulum-v1")
    with Hosted(PendulumEnv(), tmp_path, realtime=False) as hosted:
        monkeypatch.setenv("RAAS_STEP_SOCKET", hosted.path)
        remote = gymnasium.make("RaasPendulum-v1")
        assert isinstance(remote.unwrapped, RemotePendulumEnv)
        assert remote.action_space == local.action_space
        assert remote.observation_space == local.observation_space
        assert remote.reset(seed=3)[0].tolist() == local.reset(seed=3)[0].tolist()
        local.action_space.seed(0)
        for _ in range(400):
            action = local.action_space.sample() * 1.5
            ours, theirs = remote.step(action), local.step(action)
            assert ours[0].tolist() == theirs[0].tolist()
            assert ours[0].dtype == np.float32
            assert ours[1] == pytest.approx(theirs[1], rel=1e-12)
            assert ours[2:4] == theirs[2:4]
            assert ours[4] == {name: pytest.approx(theirs[4][name]) for name in ours[4]}
        assert theirs[3], "the same time limit"
        remote.close()
        outcome = hosted.outcome()
    assert (outcome.reason, outcome.ticks, outcome.steps, outcome.episodes) == ("left", 400, 400, 1)
    assert len(hosted.ticks) == 400


def test_rows_say_what_was_asked_and_what_was_applied(tmp_path: Path) -> None:
    with Hosted(pendulum(), tmp_path, realtime=False) as hosted:
        env = hosted.remote()
        (x, y, speed), _ = env.reset(seed=0)
        env.step(push(9.0))
        env.close()
        hosted.outcome()
    (tick,) = hosted.ticks
    assert tick.observation == pytest.approx((math.atan2(y, x), speed), abs=1e-6)
    assert (tick.action, tick.applied) == ((9.0,), (2.0,))
    assert (tick.tick, tick.t, tick.late, tick.episode, tick.applied_at) == (0, 0.0, False, 0, 0.0)
    assert tick.reward == pytest.approx(-(math.atan2(y, x) ** 2 + 0.004), abs=1e-3)


def test_real_time_runs_at_its_rate(tmp_path: Path) -> None:
    with Hosted(pendulum(), tmp_path, dt=0.05) as hosted:
        env = hosted.remote()
        env.reset()
        begin = time.monotonic()
        infos = [env.step(push(0.0))[4] for _ in range(20)]
        took = time.monotonic() - begin
        env.close()
    ticks = 20 + sum(one["missed_ticks"] for one in infos)  # a busy machine may miss one
    assert took == pytest.approx(ticks * 0.05, abs=0.04)
    assert infos[-1]["t"] == pytest.approx(ticks * 0.05)
    assert all(0.0 <= tick.applied_at < 0.06 for tick in hosted.ticks)


def test_a_late_client_is_charged_and_its_torque_runs_out(tmp_path: Path) -> None:
    env = pendulum()
    with Hosted(env, tmp_path, dt=0.02) as hosted:
        client = hosted.remote()
        client.reset()
        client.step(push(1.5))
        began = len(hosted.ticks)
        wait_until(lambda: len(hosted.ticks) >= began + 5)
        _, reward, _, _, info = client.step(push(0.5))
        client.close()
        hosted.outcome()
    first = began - 1  # the tick of the first step, after any a busy machine missed
    ticks = hosted.ticks[first : first + 2 + info["missed_ticks"]]
    applied = [tick.applied[0] for tick in ticks]
    assert info["late"]
    assert info["missed_ticks"] >= 5
    assert applied == [1.5, 1.5, 1.5, *[0.0] * (len(applied) - 4), 0.5], "held for two ticks, then nothing"
    assert [tick.late for tick in ticks] == [False, *[True] * (len(applied) - 2), False]
    assert reward == pytest.approx(sum(tick.reward for tick in ticks[1:]))
    assert info["t"] == pytest.approx(0.02 * (first + len(ticks)))


def test_idling_is_recorded_from_the_first_reset(tmp_path: Path) -> None:
    with Hosted(pendulum(), tmp_path, dt=0.01, max_ticks=30) as hosted:
        client = hosted.remote()
        client.reset()
        outcome = hosted.outcome()
        with pytest.raises(SessionError, match="30 ticks are over"):
            client.step(push(0.0))
    assert (outcome.reason, outcome.ticks, outcome.steps, outcome.missed_ticks) == ("limit", 30, 0, 30)
    assert [tick.tick for tick in hosted.ticks] == list(range(30))


def test_a_reset_before_the_first_step_does_not_restart_the_episode(tmp_path: Path) -> None:
    with Hosted(pendulum(), tmp_path, realtime=False) as hosted:
        client = hosted.remote()
        for _ in range(3):
            client.reset()
        client.step(push(0.0))
        client.reset()
        client.step(push(0.0))
        client.close()
        outcome = hosted.outcome()
    assert [tick.episode for tick in hosted.ticks] == [0, 1]
    assert (outcome.resets, outcome.episodes) == (4, 2)


def test_resets_are_limited(tmp_path: Path) -> None:
    with Hosted(pendulum(), tmp_path, realtime=False, max_resets=2) as hosted:
        client = hosted.remote()
        client.reset()
        client.reset()
        with pytest.raises(SessionError, match="2 resets are used up"):
            client.reset()
        assert hosted.outcome().reason == "limit"


def test_reset_options_are_the_hosts_to_allow(tmp_path: Path) -> None:
    with Hosted(pendulum(), tmp_path, realtime=False, reset_options={"theta", "start"}) as hosted:
        client = hosted.remote(RemotePendulumEnv)
        client.reset()
        for options, word in (({"theta_dot": 1.0}, "theta_dot"), ({"start": "up"}, "up")):
            with pytest.raises(ValueError, match=word):
                client.reset(options=options)
            with pytest.raises(ResetNeeded):
                client.step(push(0.0))
        client.reset(options={"params": "ideal", "randomize": True})  # a simulation's, left out
        assert client.reset(options={"theta": 0.0})[0][0] == pytest.approx(1.0, abs=0.001)


def test_without_permission_nobody_chooses_the_start(tmp_path: Path) -> None:
    with Hosted(pendulum(), tmp_path, realtime=False) as hosted:
        client = hosted.remote()
        for name in ("theta", "params", "randomize", "start"):
            with pytest.raises(ValueError, match="fixed"):
                client.reset(options={name: 0.0})


def test_step_before_reset_and_use_after_close(tmp_path: Path) -> None:
    with Hosted(pendulum(), tmp_path, realtime=False) as hosted:
        client = hosted.remote()
        with pytest.raises(ResetNeeded, match="reset"):
            client.step(push(0.0))
        client.close()
        client.close()
        for use in (client.reset, lambda: client.step(push(0.0)), client.observe):
            with pytest.raises(ClosedEnvironmentError, match="closed"):
                use()
    with pytest.raises(SessionError, match="no robot answers"):
        RemoteEnv(hosted.path)


def test_no_socket_no_robot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SessionError, match="RAAS_STEP_SOCKET is not set"):
        RemoteEnv()
    monkeypatch.setenv("RAAS_STEP_SOCKET", str(tmp_path / "nothing.sock"))
    with pytest.raises(SessionError, match="No such file"):
        gymnasium.make("RaasPendulum-v1")


def test_nobody_comes(tmp_path: Path) -> None:
    with Hosted(pendulum(), tmp_path, connect_timeout=0.05) as hosted:
        assert hosted.outcome().reason == "no_client"
    assert not Path(hosted.path).exists()


@pytest.mark.parametrize("realtime", [True, False])
def test_stop_ends_the_session_whatever_it_waits_for(tmp_path: Path, realtime: bool) -> None:
    env = pendulum()
    with Hosted(env, tmp_path, realtime=realtime, dt=0.02) as hosted:
        client = hosted.raw()
        client.begin()
        hosted.host.stop("the host's owner said so")
        outcome = hosted.outcome()
        assert (outcome.reason, outcome.message) == ("stopped", "the host's owner said so")
        error = client.error()
        assert (error.code, str(error)) == ("ended", "the host's owner said so")
    assert stopped(env)


def test_observing_costs_no_tick_and_cannot_hold_the_clock(tmp_path: Path) -> None:
    with Hosted(pendulum(), tmp_path, dt=0.02) as hosted:
        client = hosted.remote()
        first, _ = client.reset()
        assert client.observe().tolist() == first.tolist()
        began, before = time.monotonic(), len(hosted.ticks)
        while len(hosted.ticks) < before + 15:
            client.observe()
        assert time.monotonic() - began == pytest.approx(0.3, abs=0.1)
        client.close()


class BrokenPlant(WatchedPlant):
    """Works for three measurements, then as `error` says."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._left, self._error = 3, error

    def measure(self) -> Any:
        self._left -= 1
        if self._left < 0:
            raise self._error
        return super().measure()


def test_a_robot_that_fails_ends_the_session_with_its_reason(tmp_path: Path) -> None:
    env = PendulumEnv(plant=BrokenPlant(PlantError("the encoder is silent; check its cable")))
    with Hosted(env, tmp_path, realtime=False) as hosted:
        client = hosted.remote()
        client.reset()
        client.step(push(1.0))
        client.step(push(1.0))
        with pytest.raises(SessionError, match="check its cable"):
            client.step(push(1.0))
        assert hosted.outcome().reason == "robot"
    assert stopped(env)


def test_an_error_of_the_environment_stops_the_motor_and_is_raised(tmp_path: Path) -> None:
    env = PendulumEnv(plant=BrokenPlant(ZeroDivisionError("a bug")))
    host = EnvHost(env, tmp_path / "s", realtime=False)
    raised: list[Exception] = []

    def serve() -> None:
        try:
            host.serve()
        except ZeroDivisionError as error:
            raised.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    client = RemoteEnv(str(tmp_path / "s"))
    client.reset()
    client.step(push(1.0))
    client.step(push(1.0))
    with pytest.raises(SessionError, match="the environment failed"):
        client.step(push(1.0))
    thread.join()
    assert raised
    assert stopped(env)
    assert not (tmp_path / "s").exists()


def test_a_host_that_fell_far_behind_gives_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raas_gym.host.STALL", 0.1)
    env = pendulum()
    plain = env.plant.advance
    with Hosted(env, tmp_path, dt=0.01) as hosted:
        client = hosted.remote()
        client.reset()
        client.step(push(1.0))
        monkeypatch.setattr(env.plant, "advance", lambda: (plain(), time.sleep(0.15)))
        with pytest.raises(SessionError, match="behind its clock"):
            [client.step(push(1.0)) for _ in range(5)]
        assert hosted.outcome().reason == "stalled"


def test_cart_pole_with_discrete_actions(tmp_path: Path) -> None:
    local = gymnasium.make("CartPole-v1")
    with Hosted(gymnasium.make("CartPole-v1"), tmp_path, realtime=False) as hosted:
        assert hosted.host.spec.dt == pytest.approx(0.02)
        assert hosted.host.spec.horizon == 500
        remote = hosted.remote()
        assert isinstance(remote.action_space, spaces.Discrete)
        assert remote.reset(seed=4)[0].tolist() == local.reset(seed=4)[0].tolist()
        ended = False
        while not ended:
            ours, theirs = remote.step(1), local.step(1)
            assert ours[0].tolist() == theirs[0].tolist()
            assert ours[1:4] == theirs[1:4]
            ended = ours[2]
        with pytest.raises(ResetNeeded):
            remote.step(1)
        remote.reset()
        with pytest.raises(InvalidAction):
            remote.step(2)
        remote.close()
        hosted.outcome()
    assert hosted.ticks[0].observation == pytest.approx(tuple(local.reset(seed=4)[0].tolist()))


def test_an_episode_that_ends_while_the_client_sleeps(tmp_path: Path) -> None:
    with Hosted(gymnasium.make("CartPole-v1", max_episode_steps=5), tmp_path, dt=0.02) as hosted:
        remote = hosted.remote()
        remote.reset(seed=0)
        wait_until(lambda: len(hosted.ticks) == 5)
        _, reward, terminated, truncated, info = remote.step(1)
        assert (terminated or truncated, info["missed_ticks"], reward) == (True, 5, 5.0)
        remote.reset()
        remote.close()
        assert hosted.outcome().reason == "left"


def test_a_box_of_many_dimensions(tmp_path: Path) -> None:
    class Echo(gymnasium.Env[Any, Any]):
        action_space = spaces.Box(-1, 1, (2, 2), np.float32)
        observation_space = spaces.Box(-np.inf, np.inf, (2, 2), np.float64)

        def reset(self, **_: Any) -> tuple[Any, dict[str, Any]]:
            return np.zeros((2, 2)), {}

        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            assert action in self.action_space
            return action.astype(np.float64), 0.0, False, False, {}

    with Hosted(Echo(), tmp_path, realtime=False) as hosted:
        remote = hosted.remote()
        remote.reset()
        observation, *_, info = remote.step(np.array([[0.25, -4.0], [1.0, 7.0]]))
        assert observation.tolist() == info["applied"].tolist() == [[0.25, -1.0], [1.0, 1.0]]


def test_frames_of_the_robot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Hosted(PendulumEnv(), tmp_path, realtime=False) as hosted:
        monkeypatch.setenv("RAAS_STEP_SOCKET", hosted.path)
        env = gymnasium.make("RaasPendulum-v1", render_mode="rgb_array", params="ideal")
        env.reset()
        frame_ = env.render()
        assert isinstance(frame_, np.ndarray)
        assert tuple(frame_[320, 250]) == (204, 77, 77), "hanging"
        env.close()


def test_a_path_that_cannot_be_served_says_why(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    for path in (tmp_path / "taken", tmp_path / "no" / "folder", tmp_path / ("x" * 120)):
        with pytest.raises(OSError, match="cannot serve"):
            EnvHost(pendulum(), path)
    assert (tmp_path / "taken").exists()


def test_the_spec_is_what_the_header_needs(tmp_path: Path) -> None:
    with Hosted(gymnasium.make("RaasPendulum-v1").unwrapped, tmp_path, robot="goose") as hosted:
        client = hosted.remote()
        robot = client.robot
        client.close()
    assert (robot.env_id, robot.robot, robot.dt, robot.horizon) == ("RaasPendulum-v1", "goose", 0.05, 400)
    assert (robot.columns, robot.action_columns) == (("theta", "theta_dot"), ("action",))
    assert robot.simulated
    json.dumps(robot.passport)
