"""Runners' tokens: digests only, rotated without a pause, revoked at once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from server_world import Robot, World
from sqlalchemy import select

from github_app import moves, tokens
from github_app.models import Fact, Runner


def rotate(world: World, name: str) -> str:
    """The one-time token."""
    with world.database.write() as session:
        return tokens.rotate(session, name, moves.utc_now())


def exchanged(world: World, invitation: str) -> Robot:
    """The runner with its new token."""
    answer = Robot(world.app, "").post("register", token=invitation, software="1")
    assert answer.status_code == 200
    return Robot(world.app, answer.get_json()["token"])


def test_a_rotation_has_no_pause_and_ends(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.submit()
    old = world.robot()
    held = old.running_job()
    invitation = rotate(world, "goose")
    assert old.call(held, "heartbeat", phase="running").status_code == 200
    new = exchanged(world, invitation)
    for robot in (old, new):  # until the runner was restarted, and from then on
        assert robot.call(held, "heartbeat", phase="running").status_code == 200
    assert Robot(world.app, "").post("register", token=invitation, software="1").status_code == 401
    later = moves.utc_now() + tokens.OLD_VALID + timedelta(seconds=1)
    monkeypatch.setattr(tokens, "utc_now", lambda: later)
    assert old.call(held, "heartbeat", phase="running").status_code == 401
    assert new.call(held, "heartbeat", phase="running").status_code == 200


def test_only_the_last_token_but_one_is_good(world: World) -> None:
    first = world.robot()
    second = exchanged(world, rotate(world, "goose"))
    third = exchanged(world, rotate(world, "goose"))
    assert [robot.claim().status_code for robot in (first, second, third)] == [401, 204, 204]


@pytest.mark.parametrize("how", ["revoke", "invite"])
def test_a_leaked_token_is_void_at_once_and_so_is_the_one_before(world: World, how: str) -> None:
    old = world.robot()
    new = exchanged(world, rotate(world, "goose"))
    with world.database.write() as session:
        if how == "revoke":
            tokens.revoke(session, "goose", moves.utc_now())
        else:
            tokens.invite(session, "goose", (), moves.utc_now())
    assert [robot.claim().status_code for robot in (old, new)] == [401, 401]


def test_nobody_rotates_what_is_not_registered(world: World) -> None:
    world.invite("duck")
    for name in ("duck", "nobody"):
        with pytest.raises(tokens.RunnerError, match="raas-server runner add"):
            rotate(world, name)


def test_the_database_holds_digests_only(world: World) -> None:
    old = world.robot()
    invitation = rotate(world, "goose")
    new = exchanged(world, invitation)
    pending = rotate(world, "goose")
    plain = [robot.headers["Authorization"].split()[1] for robot in (old, new)] + [invitation, pending]
    with world.database.read() as session:
        runner = session.scalars(select(Runner)).one()
        facts = [(fact.name, fact.value) for fact in session.scalars(select(Fact))]
    stored = f"{runner.token_hash} {runner.invite_hash} {facts}"
    assert runner.token_hash == tokens.digest(plain[1])
    assert not [token for token in plain if token in stored]
