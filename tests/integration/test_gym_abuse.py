"""What breaks the step contract, on either side: a clear error, a stopped motor, and nothing stuck."""

from __future__ import annotations

import math
import os
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gym_hosting import CODEC, HELLO, RESET, Hosted, pendulum, push, stopped
from gymnasium import spaces
from gymnasium.error import ClosedEnvironmentError, InvalidAction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raas_gym.link import Kind, LinkError, frame
from raas_gym.remote import RemoteEnv, SessionError


@pytest.mark.parametrize("action", [[math.nan], [math.inf], [1.0, 2.0], [], "left", None], ids=repr)
def test_a_wrong_action_never_leaves_the_client(tmp_path: Path, action: Any) -> None:
    with Hosted(pendulum(), tmp_path, realtime=False) as hosted:
        client = hosted.remote()
        client.reset()
        with pytest.raises(InvalidAction):
            client.step(action)
        client.step(push(1.0))
        client.close()
        assert hosted.outcome().steps == 1


def test_a_second_client_is_sent_away_and_the_first_goes_on(tmp_path: Path) -> None:
    with Hosted(pendulum(), tmp_path, dt=0.02) as hosted:
        first = hosted.remote()
        first.reset()
        first.step(push(1.0))
        with pytest.raises(SessionError, match="another client"):
            hosted.remote()
        first.step(push(1.0))
        first.close()
        assert hosted.outcome().reason == "left"


def test_another_user_is_refused(tmp_path: Path) -> None:
    with Hosted(pendulum(), tmp_path, allowed_uids={os.geteuid() + 1}) as hosted:
        with pytest.raises(SessionError, match="may not use"):
            hosted.remote()
        hosted.host.stop("enough")
        assert hosted.outcome().reason == "stopped"


def test_another_version_is_named_on_both_sides(tmp_path: Path) -> None:
    with Hosted(pendulum(), tmp_path) as hosted:
        client = hosted.raw()
        client.say(frame(Kind.HELLO, b'{"protocol": 99}'))
        error = client.error()
        assert error.code == "version"
        assert "protocol 1, not 99" in str(error)
        assert hosted.outcome().reason == "version"


def answering(path: Path, reply: bytes) -> threading.Thread:
    """A host that answers the first message with `reply` and hangs up."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(1)

    def serve() -> None:
        with listener, listener.accept()[0] as peer:
            peer.recv(1000)
            peer.sendall(reply)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("reply", "word"),
    [
        (b"", "closed the connection"),
        (b"\x05\x00\x00\x00\x80{}", "closed the connection"),
        (frame(Kind.SPEC, b"{}"), "incomplete"),
        (frame(Kind.SPEC, b"nonsense"), "not JSON"),
        (frame(Kind.STATE, bytes(80)), "another program"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "outside"),
    ],
    ids=["nothing", "half a frame", "empty spec", "no JSON", "untimely", "another protocol"],
)
def test_a_host_that_talks_nonsense(tmp_path: Path, reply: bytes, word: str) -> None:
    thread = answering(tmp_path / "s", reply)
    with pytest.raises((SessionError, LinkError), match=word):
        RemoteEnv(str(tmp_path / "s"))
    thread.join()


OVERSIZED = struct.pack("<I", 2**31) + b"\x03"


BAD_MESSAGES: list[tuple[str, bytes, str]] = [
    ("oversized", OVERSIZED, "outside"),
    ("empty frame", struct.pack("<I", 0), "outside"),
    ("unknown kind", struct.pack("<IB", 1, 99), "kind 99"),
    ("a host's kind", frame(Kind.STATE, b""), "out of turn"),
    ("second hello", HELLO, "out of turn"),
    ("short action", frame(Kind.STEP, b"123"), "8 bytes"),
    ("NaN action", frame(Kind.STEP, struct.pack("<d", math.nan)), "finite"),
    ("infinite action", frame(Kind.STEP, struct.pack("<d", math.inf)), "finite"),
    ("reset without JSON", frame(Kind.RESET, b"{"), "not JSON"),
    ("reset with a wrong seed", frame(Kind.RESET, b'{"seed": "x"}'), "seed"),
    ("reset with a negative seed", frame(Kind.RESET, b'{"seed": -1}'), "seed"),
    ("reset with wrong options", frame(Kind.RESET, b'{"options": 3}'), "options"),
    ("pickle", b"\x80\x04\x95" + bytes(40), "outside"),
    ("two steps at once", CODEC.step_frame([1.0]) * 2, "out of turn"),
]


@pytest.mark.parametrize(("name", "message", "word"), BAD_MESSAGES, ids=[one[0] for one in BAD_MESSAGES])
def test_a_bad_message_ends_the_session_and_stops_the_motor(
    tmp_path: Path, name: str, message: bytes, word: str
) -> None:
    env = pendulum()
    with Hosted(env, tmp_path, dt=0.02) as hosted:
        client = hosted.raw()
        client.begin()
        client.say(message)
        error = client.error()
        assert error.code == "protocol"
        assert word in str(error)
        outcome = hosted.outcome()
    assert (outcome.reason, outcome.message) == ("protocol", str(error))
    assert stopped(env)


@pytest.mark.parametrize("first", [RESET, CODEC.step_frame([1.0]), frame(Kind.OBSERVE), frame(Kind.BYE)])
def test_who_does_not_say_hello_is_sent_away(tmp_path: Path, first: bytes) -> None:
    with Hosted(pendulum(), tmp_path) as hosted:
        client = hosted.raw()
        client.say(first)
        assert "HELLO" in str(client.error())
        assert hosted.outcome().reason == "protocol"


def test_step_before_reset_over_the_wire(tmp_path: Path) -> None:
    with Hosted(pendulum(), tmp_path) as hosted:
        client = hosted.raw()
        client.say(HELLO, CODEC.step_frame([1.0]))
        assert "reset before step" in str(client.error())


def test_a_client_that_stops_within_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raas_gym.port.FRAME_TIMEOUT", 0.2)
    env = pendulum()
    with Hosted(env, tmp_path, dt=0.02) as hosted:
        client = hosted.raw()
        client.begin()
        client.say(CODEC.step_frame([2.0])[:7])
        assert "not completed" in str(client.error())
        outcome = hosted.outcome()
    assert outcome.ticks > 5, "the clock went on meanwhile"
    assert stopped(env)


def test_a_client_that_says_nothing_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raas_gym.host.FRAME_TIMEOUT", 0.2)
    with Hosted(pendulum(), tmp_path) as hosted:
        client = hosted.raw()
        assert client.error().code == "protocol"
        assert hosted.outcome().reason == "protocol"


def test_a_client_that_vanishes_stops_the_motor(tmp_path: Path) -> None:
    env = pendulum()
    with Hosted(env, tmp_path, dt=0.02) as hosted:
        client = hosted.raw()
        client.begin()
        client.say(CODEC.step_frame([2.0])[:3])
        client.socket.close()
        outcome = hosted.outcome()
    assert outcome.reason == "left"
    assert stopped(env)


CRASHING = """
import os, sys
import numpy as np
from raas_gym.remote import RemoteEnv
env = RemoteEnv(sys.argv[1])
env.reset()
for _ in range(5):
    env.step(np.array([2.0], np.float32))
os.kill(os.getpid(), 9)
"""


def test_a_program_that_is_killed_leaves_its_ticks(tmp_path: Path) -> None:
    env = pendulum()
    with Hosted(env, tmp_path, dt=0.02) as hosted:
        done = subprocess.run([sys.executable, "-c", CRASHING, hosted.path], check=False)
        outcome = hosted.outcome()
    assert done.returncode == -9
    assert (outcome.reason, outcome.steps) == ("left", 5)
    assert len(hosted.ticks) >= 5
    assert stopped(env)


def test_a_client_that_reads_no_answers_holds_nothing(tmp_path: Path) -> None:
    wide = gymnasium.make("RaasPendulum-v1").unwrapped

    class Wide(gymnasium.ObservationWrapper[Any, Any, Any]):
        """Answers of which a socket takes two at most."""

        observation_space = spaces.Box(-np.inf, np.inf, (16_000,), np.float32)

        def observation(self, observation: Any) -> Any:
            return np.zeros(16_000, np.float32)

    with Hosted(Wide(wide), tmp_path, dt=0.02) as hosted:
        client = hosted.raw()
        client.say(HELLO)
        assert client.hear()[0] is Kind.SPEC
        client.say(RESET * 3)
        outcome = hosted.outcome()
    assert "does not read" in outcome.message


def test_an_interrupted_step_cannot_mix_up_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Hosted(pendulum(), tmp_path, realtime=False) as hosted:
        client = hosted.remote()
        client.reset()

        def interrupted(*_: Any) -> Any:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("raas_gym.connection.StateCodec.decode_state_frame", interrupted)
            with pytest.raises(KeyboardInterrupt):
                client.step(push(1.0))
        with pytest.raises(ClosedEnvironmentError):
            client.step(push(1.0))
        assert hosted.outcome().reason == "left"


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            st.sampled_from([HELLO, RESET, CODEC.step_frame([1.0]), frame(Kind.OBSERVE), frame(Kind.BYE)]),
            st.builds(frame, st.sampled_from(list(Kind)), st.binary(max_size=30)),
            st.binary(min_size=1, max_size=30),
        ),
        max_size=12,
    ),
    st.booleans(),
)
def test_whatever_a_client_says_the_session_ends_and_the_motor_stops(
    tmp_path_factory: pytest.TempPathFactory, said: list[bytes], polite: bool
) -> None:
    env = pendulum()
    with Hosted(env, tmp_path_factory.mktemp("fuzz"), realtime=False) as hosted:
        client = hosted.raw()
        try:
            if polite:
                client.begin()
            for one in said:
                client.say(one)
        except OSError:
            pass  # the host has hung up already
        client.socket.close()
        outcome = hosted.outcome()
    assert outcome.reason in ("left", "protocol", "version")
    assert stopped(env)
