"""Hosts' rules where jobs are queued and claimed: owners, private sources, hours, robot-minutes a day."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner
from server_world import World, add_repository, job_request

from github_app import allowance, cli, queue
from github_app.models import Job, Runner
from github_app.moves import utc_now
from github_app.rules import RobotRules, RulesError, robot_rules, server_rules

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def set_rules(world: World, name: str, rules: RobotRules) -> None:
    with world.database.write() as session:
        runner = session.query(Runner).where(Runner.name == name).one()
        allowance.set_robot_rules(session, runner, rules)


def submit_at(world: World, now: datetime, **fields: object) -> Job:
    with world.database.write() as session:
        return queue.submit(session, job_request(**fields), now=now)


def ran(world: World, job: int, started: datetime, seconds: float | None) -> None:
    """As if a job had been on a robot."""
    with world.database.write() as session:
        row = session.get_one(Job, job)
        row.started_at = started
        row.status = "running" if seconds is None else "completed"
        row.completed_at = None if seconds is None else started + timedelta(seconds=seconds)


def test_a_robot_gets_only_what_its_host_accepts(world: World) -> None:
    goose, duck = world.robot("goose", "pendulum"), world.robot("duck", "pendulum")
    hidden = add_repository(world.database, private=True, number=2)
    set_rules(world, "goose", robot_rules(private=False, owners=["alice"]))
    private, public = world.submit(repository_id=hidden), world.submit()
    job = goose.running_job()
    assert job["id"] == public, "the private one was first"
    assert goose.claim().status_code == 204
    assert duck.claim().get_json()["id"] == private


def test_new_rules_hold_for_jobs_that_wait(world: World) -> None:
    goose = world.robot("goose", "pendulum")
    world.submit()
    set_rules(world, "goose", robot_rules(owners=["bob"]))
    assert goose.claim().status_code == 204
    set_rules(world, "goose", RobotRules())
    assert goose.claim().status_code == 200


def test_a_job_that_every_robot_refuses_is_refused_with_the_reason(world: World) -> None:
    goose = world.robot("goose", "pendulum")
    goose.claim()  # now it is known what it answers to
    set_rules(world, "goose", robot_rules(private=False))
    hidden = add_repository(world.database, private=True, number=2)
    refused = world.job(world.submit(repository_id=hidden))
    assert (refused.status, refused.conclusion) == ("completed", "skipped")
    assert "is private, and the robots with these labels (goose) run public sources only" in str(
        refused.reason
    )
    set_rules(world, "goose", robot_rules(owners=["bob"]))
    other = world.job(world.submit())
    assert "(goose) do not serve repositories of alice" in str(other.reason)
    waits = world.job(world.submit(labels=["cartpole"]))
    assert waits.status == "queued", "a robot of that kind may still join"


def test_more_rules_than_a_lane_can_name_are_refused(world: World) -> None:
    for letter in "ab":
        world.invite(letter * 60)
    set_rules(world, "a" * 60, robot_rules(private=False))
    with pytest.raises(RulesError, match="clear the rules of some"):
        set_rules(world, "b" * 60, robot_rules(private=False))


def test_outside_its_hours_a_robot_is_given_nothing_and_says_why(world: World) -> None:
    goose = world.robot("goose", "pendulum")
    world.submit()
    now = utc_now()
    closed = f"{now + timedelta(hours=2):%H:%M}-{now + timedelta(hours=3):%H:%M}"
    set_rules(world, "goose", robot_rules(hours=[closed]))
    assert goose.claim().status_code == 204
    shown = world.app.test_client().get("/robots/goose/policy").get_data(as_text=True)
    assert "No job begins now: outside its hours" in shown
    page = world.app.test_client().get("/jobs/1").get_data(as_text=True)
    assert "outside its hours" in page
    open_now = f"{now - timedelta(hours=2):%H:%M}-{now + timedelta(hours=2):%H:%M}"
    set_rules(world, "goose", robot_rules(hours=[open_now]))
    assert goose.claim().status_code == 200


def test_the_day_s_robot_minutes_are_those_of_the_jobs_themselves(world: World) -> None:
    with world.database.write() as session:
        allowance.set_server_rules(session, server_rules(minutes_a_day=10))
    first = submit_at(world, NOON, timeout_s=240.0)
    ran(world, first.id, NOON, 200.0)
    yesterday = submit_at(world, NOON, timeout_s=60.0)
    ran(world, yesterday.id, NOON.replace(hour=0) - timedelta(seconds=50), 100.0)  # half of it is today's
    waiting = submit_at(world, NOON, timeout_s=100.0, sessions=2)
    refused = submit_at(world, NOON, timeout_s=160.0)
    assert refused.conclusion == "skipped"
    assert refused.reason == (
        "alice may use the robots 10 min a day. Today 4.2 min were used and 3.3 min asked for by waiting"
        " and running jobs, and this asks for 2.7 min more. Lower `timeout`, or run it again after midnight"
        " (UTC)."
    )
    assert submit_at(world, NOON, timeout_s=150.0).status == "queued", "exactly what is left"
    ran(world, waiting.id, NOON, None)
    assert submit_at(world, NOON, timeout_s=1.0).conclusion == "skipped", "what runs is counted in full"
    assert submit_at(world, NOON, owner="bob").status == "queued", "of each owner"
    with world.database.write() as session:
        session.get_one(Job, waiting.id).status = "completed"
        session.get_one(Job, waiting.id).completed_at = NOON + timedelta(seconds=10)
    assert submit_at(world, NOON, timeout_s=180.0).status == "queued", "what was not used is free again"


def test_results_that_came_late_count_no_longer_than_the_robot_was_used(world: World) -> None:
    """The server was away for an hour; the run took half a minute, by a clock that is a day behind."""
    with world.database.write() as session:
        allowance.set_server_rules(session, server_rules(minutes_a_day=10))
    late = submit_at(world, NOON, timeout_s=120.0)
    ran(world, late.id, NOON, 3600.0)
    began = NOON - timedelta(days=1)
    with world.database.write() as session:
        times = {"started_at": began.isoformat(), "ended_at": (began + timedelta(seconds=30)).isoformat()}
        session.get_one(Job, late.id).results = times
    assert submit_at(world, NOON, timeout_s=570.0).status == "queued"
    assert submit_at(world, NOON, timeout_s=1.0).conclusion == "skipped", "the half minute counts"


def test_submissions_at_once_do_not_pass_the_limit_together(world: World) -> None:
    with world.database.write() as session:
        allowance.set_server_rules(session, server_rules(minutes_a_day=6))
    threads = [threading.Thread(target=world.submit, kwargs={"timeout_s": 120.0}) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with world.database.read() as session:
        assert session.query(Job).where(Job.status == "queued").count() == 3


def test_an_owner_off_the_server_s_list_is_refused(world: World) -> None:
    with world.database.write() as session:
        allowance.set_server_rules(session, server_rules(owners=["lab"]))
    assert "Ask the host to add the owner" in str(world.job(world.submit()).reason)


def test_the_commands_set_and_show_the_rules(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = world.services.settings
    monkeypatch.setenv("RAAS_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("RAAS_DATABASE_URL", settings.database_url)
    world.robot("goose", "pendulum")

    def say(*words: str) -> str:
        return CliRunner().invoke(cli.main, list(words), catch_exceptions=False).output

    said = say("runner", "policy", "goose", "--owners", "Alice,lab", "--hours", "mon-fri 08:00-18:00")
    assert "alice, lab" in said
    assert "mon-fri 08:00-18:00 UTC" in say("runner", "policy", "goose")
    said = say("runner", "policy", "goose", "--time-zone", "Europe/Berlin", "--no-private")
    assert "mon-fri 08:00-18:00 Europe/Berlin" in said
    assert "public sources only" in said
    said = say("policy", "--minutes-a-day", "30", "--timeout-max", "300", "--sessions-max", "5")
    assert "30 for each owner, from midnight UTC" in said
    page = world.app.test_client().get("/robots/goose/policy").get_data(as_text=True)
    for words in ("alice, lab", "Europe/Berlin", "300 s at most", "5 at most", "30 for each owner"):
        assert words in page
    assert "as the settings say" in say("policy", "--timeout-max", "any")
    assert "is no time zone" in say("runner", "policy", "goose", "--time-zone", "Mars")
    assert "there is no runner duck" in say("runner", "policy", "duck")
    assert world.app.test_client().get("/robots/duck/policy").status_code == 404


def test_words_that_only_a_robot_says_of_itself_are_no_labels(world: World) -> None:
    for name, labels in (("simulated", []), ("duck", ["simulated"]), ("duck", ["hardware"])):
        with pytest.raises(Exception, match="by its plant; leave it out"):
            world.invite(name, *labels)
