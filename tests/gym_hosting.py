"""A hosted environment for tests: `EnvHost` on a thread of its own, its ticks and its outcome."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from raas_gym import PendulumEnv
from raas_gym.host import EnvHost, SessionOutcome
from raas_gym.link import FrameReader, Kind, LinkError, StateCodec, decode_error, frame, receive
from raas_gym.plants import SimPlant
from raas_gym.remote import RemoteEnv
from raas_gym.trajectory import Tick

HELLO = frame(Kind.HELLO, b'{"protocol": 1}')
RESET = frame(Kind.RESET, b'{"seed": 1}')
CODEC = StateCodec(1, 3)


class Raw:
    """A client that says whatever it likes."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(10)
        self.socket.connect(path)
        self.reader = FrameReader()

    def say(self, *data: bytes) -> None:
        self.socket.sendall(b"".join(data))

    def hear(self) -> tuple[Kind, bytes]:
        return receive(self.socket, self.reader)

    def begin(self) -> None:
        """Hello, reset and one step with torque."""
        for message in (HELLO, RESET, CODEC.step_frame([2.0])):
            self.say(message)
            assert self.hear()[0] is not Kind.ERROR

    def error(self) -> LinkError:
        """The error that ends the session; answers before it are skipped."""
        while True:
            kind, payload = self.hear()
            if kind is Kind.ERROR:
                return decode_error(payload)


class Hosted:
    """Serves `env` until the client leaves or the test ends; use as a context manager."""

    def __init__(self, env: gymnasium.Env[Any, Any], directory: Path, **options: Any) -> None:
        self.env = env
        self.path = str(directory / "step.sock")
        self.ticks: list[Tick] = []
        self.host = EnvHost(env, self.path, on_tick=self.ticks.append, **options)
        self._clients = ExitStack()
        self._outcome: list[SessionOutcome] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        self._outcome.append(self.host.serve())

    def __enter__(self) -> Hosted:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.host.stop("the test is over")
        self.outcome()
        self._clients.close()
        self.env.close()

    def remote(self, kind: type[RemoteEnv] = RemoteEnv) -> RemoteEnv:
        """A client, closed with the session."""
        client = kind(self.path)
        self._clients.callback(client.close)
        return client

    def raw(self) -> Raw:
        """A client that says what it likes, closed with the session."""
        client = Raw(self.path)
        self._clients.callback(client.socket.close)
        return client

    def outcome(self) -> SessionOutcome:
        """How the session ended; waits for its end."""
        self._thread.join(20)
        assert not self._thread.is_alive(), "the session does not end"
        return self._outcome[0]


def push(torque: float) -> np.ndarray:
    return np.array([torque], dtype=np.float32)


class WatchedPlant(SimPlant):
    """A simulated plant that remembers what was commanded last."""

    commanded = 0.0

    def apply(self, torque: float) -> float:
        self.commanded = super().apply(torque)
        return self.commanded

    def stop(self) -> None:
        self.commanded = 0.0
        super().stop()


def pendulum(**options: Any) -> PendulumEnv:
    return PendulumEnv(plant=WatchedPlant(**options))


def stopped(env: gymnasium.Env[Any, Any]) -> bool:
    assert isinstance(env, PendulumEnv)
    assert isinstance(env.plant, WatchedPlant)
    return env.plant.commanded == 0.0


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not true():
        assert time.monotonic() < until
        time.sleep(0.005)
