"""Looking before sleeping: pays where the peer is quick, stops where it is not."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from raas_gym.spin import CREDIT, LOOK, REST, Spinner


@pytest.fixture
def spinner(monkeypatch: pytest.MonkeyPatch) -> Spinner:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    return Spinner()


def test_receives_what_is_there_already(spinner: Spinner) -> None:
    left, right = socket.socketpair()
    with left, right:
        right.send(b"abc")
        assert spinner.recv(left, 2) == b"ab"
        assert spinner.recv(left, 2) == b"c"


def test_sleeps_until_a_slow_peer_answers(spinner: Spinner) -> None:
    left, right = socket.socketpair()
    with left, right:
        later = threading.Timer(5 * LOOK, right.send, (b"late",))
        later.start()
        assert spinner.recv(left, 10) == b"late"
        later.join()


def test_an_end_of_the_stream_is_told(spinner: Spinner) -> None:
    left, right = socket.socketpair()
    right.close()
    with left:
        assert spinner.recv(left, 10) == b""


def test_looking_in_vain_stops_and_is_tried_again(spinner: Spinner) -> None:
    looks = 0

    class Slow(socket.socket):
        def recv(self, size: int, flags: int = 0) -> bytes:
            nonlocal looks
            if not flags:
                return b"x"
            looks += 1
            time.sleep(LOOK)  # one look takes the whole time there is for looking
            raise BlockingIOError

    with Slow() as slow:
        for _ in range(REST):
            spinner.recv(slow, 1)
        assert looks == CREDIT // 2
        for _ in range(REST):
            spinner.recv(slow, 1)
        assert looks == CREDIT // 2 + 1


def test_a_single_core_never_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    left, right = socket.socketpair()
    with left, right:
        right.send(b"abc")
        alone = Spinner()
        monkeypatch.setattr("time.monotonic", lambda: pytest.fail("it looked"))
        assert alone.recv(left, 10) == b"abc"
