"""The controller killed with -9 between any two steps of a session: nothing is opened twice or forgotten."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from controller_lab import Daemon, until
from dying import Command, Place

from raas_gym.control import ControlClient, ControlError, SessionRequest
from raas_gym.link import LinkError
from raas_gym.remote import RemoteEnv, SessionError

STEPS = 4
KEY = (7, 1, 0)


@pytest.fixture
def died(home: Path) -> Callable[[Place], ControlClient]:
    """A controller that is asked for a whole session and dies in a place of it."""

    def dies(place: Place) -> ControlClient:
        command = [*Daemon.command_in(home)][1:]
        log = home / "controller.log"
        process = Command("hardware.cli:main", tuple(command), os.environ, log).start(place)
        client = ControlClient(str(home / "c.sock"))
        until(lambda: _answers(client))
        with contextlib.suppress(ControlError, SessionError, LinkError, OSError):
            _whole_session(client)
        process.join(20)
        assert process.exitcode == -9, log.read_text()
        return client

    return dies


def _answers(client: ControlClient) -> bool:
    with contextlib.suppress(ControlError):
        return client.status().state == "idle"
    return False


def _whole_session(client: ControlClient) -> None:
    opened = client.open(
        SessionRequest(*KEY, env_id="RaasPendulum-v1", timeout_s=60.0, client_uid=os.getuid())
    )
    env = RemoteEnv(str(Path(opened.directory) / opened.socket))
    try:
        env.reset(seed=0)
        for _ in range(STEPS):
            env.step([0.5])
    finally:
        env.close()
    client.close(*KEY, "the program has ended")
    client.forget(*KEY)


def code_of(call: Callable[[], Any]) -> str:
    with pytest.raises(ControlError) as refused:
        call()
    return refused.value.code


def test_killed_before_the_ledger_was_written_the_session_may_still_be_had(
    died: Callable[[Place], ControlClient], start: Callable[..., Daemon]
) -> None:
    client = died(Place("hardware.ledger:Ledger.add"))
    daemon = start()
    assert code_of(lambda: client.result(*KEY)) == "unknown_session"
    assert list((daemon.home / "data" / "results").iterdir()) == []
    _whole_session(client)


@pytest.mark.parametrize(
    ("place", "reason", "rows"),
    [
        pytest.param(Place("hardware.ledger:Ledger.add", "after"), "controller_lost", 0, id="ledger written"),
        pytest.param(Place("hardware.session:Recorder"), "controller_lost", 0, id="at rest"),
        pytest.param(Place("hardware.session:Session.opened", "after"), "controller_lost", 0, id="opened"),
        pytest.param(Place("hardware.session:conclude"), "controller_lost", STEPS, id="ended"),
        pytest.param(Place("hardware.results:Results.conclude"), "controller_lost", STEPS, id="files made"),
        pytest.param(
            Place("hardware.results:Results.conclude", "after"), "client_left", STEPS, id="concluded"
        ),
        pytest.param(Place("hardware.results:Results.forget"), "client_left", STEPS, id="to be forgotten"),
    ],
)
def test_killed_once_the_ledger_was_written_it_is_concluded_and_never_opened_again(
    died: Callable[[Place], ControlClient], start: Callable[..., Daemon], place: Place, reason: str, rows: int
) -> None:
    client = died(place)
    daemon = start()
    summary = client.result(*KEY)
    assert summary.reason == reason
    assert summary.steps == rows
    assert code_of(lambda: daemon.open(*KEY)) == "already_opened"
    assert list((daemon.home / "c-sessions").iterdir()) == []
    client.forget(*KEY)
    assert list((daemon.home / "data" / "results").iterdir()) == []


def test_killed_after_it_forgot_a_session_it_still_refuses_it(
    died: Callable[[Place], ControlClient], start: Callable[..., Daemon]
) -> None:
    client = died(Place("hardware.results:Results.forget", "after"))
    daemon = start()
    client.forget(*KEY)
    assert code_of(lambda: client.result(*KEY)) == "unknown_session"
    assert code_of(lambda: daemon.open(*KEY)) == "already_opened"
