"""The robots' pages, and draining: what they say, to whom, and that a drained robot gets no job."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from server_world import MakeSettings, World, add_repository, session_result, upload
from sqlalchemy import update

from github_app import app as application
from github_app import csrf, passport_reading, robot_switches, robot_view, sessions
from github_app.models import Job, Runner, Turn
from github_app.moves import utc_now
from github_app.tokens import RunnerError
from hardware.passport import Estimate
from hardware.passport import Passport as Calibration
from raas_gym.trajectory import Header, Trajectory


def page(world: World, path: str) -> str:
    answer = world.app.test_client().get(path)
    assert answer.status_code == 200
    return str(answer.get_data(as_text=True))


def drain(world: World, by: str | None) -> None:
    with world.database.write() as session:
        robot_switches.set_drained(session, "goose", by, utc_now())


def test_a_drained_robot_ends_its_job_and_takes_no_more_until_it_is_resumed(world: World) -> None:
    goose = world.robot("goose", "pendulum")
    first, second = world.submit(), world.submit()
    job = goose.running_job()
    drain(world, "alice")
    assert goose.call(job, "heartbeat").status_code == 200
    assert goose.call(job, "finish", conclusion="success", reason="").status_code == 204
    assert goose.claim().status_code == 204
    assert "goose is drained by its host" in page(world, "/")
    assert "alice drained it" in page(world, "/robots/goose")
    other = world.robot("heron", "pendulum")
    drained_is_passed = other.claim()
    assert drained_is_passed.get_json()["id"] == second
    third = world.submit()
    drain(world, None)
    assert goose.claim().get_json()["id"] == third
    assert job["id"] == first


def test_who_waits_when_it_is_drained_leaves_the_job_to_others(world: World) -> None:
    goose = world.robot("goose", "pendulum")
    goose.claim()
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(goose.claim, wait_s=2.0)
        drain(world, "alice")
        world.submit()
        world.services.dispatcher.offer(Counter({"pendulum": 1}))
        assert waits.result(30).status_code == 204


def test_passports_are_kept_as_they_change_and_not_as_they_stay(world: World) -> None:
    goose = world.robot("goose", "pendulum")
    for passport in ("2026-08-02", "2026-08-02", "2026-11-20", "unknown", "2026-11-20"):
        goose.claim(plant="hardware", passport=passport)
    shown = page(world, "/robots/goose")
    assert shown.count("2026-08-02") == 1
    assert shown.index("2026-11-20") < shown.index("2026-08-02"), "the latest first"
    assert ">unknown<" not in shown


def test_a_private_job_is_not_named_to_strangers(world: World) -> None:
    secret = add_repository(world.database, private=True, number=7)
    world.submit(repository_id=secret)
    goose = world.robot("goose", "pendulum")
    job = goose.running_job()
    shown = page(world, "/robots/goose")
    assert "one of a private repository" in shown
    assert "pendulum-7" not in shown
    assert f"/jobs/{job['id']}" not in shown
    goose.call(job, "finish", conclusion="success", reason="")
    assert "pendulum-7" not in page(world, "/robots/goose")


def test_use_is_the_share_of_the_time_in_sessions(world: World) -> None:
    goose = world.robot("goose", "pendulum")
    world.submit()
    number = goose.running_job()["id"]
    now = utc_now()
    with world.database.write() as session:
        job = session.get_one(Job, number)
        job.started_at, job.completed_at = now - timedelta(hours=27), now - timedelta(hours=21)
    with world.database.read() as session:
        runner = session.query(Runner).one()
        for window, share in ((robot_view.DAY, 3 / 24), (robot_view.WEEK, 6 / 168)):
            used = robot_view.used(session, [runner.id], now, window)
            assert used[runner.id] == pytest.approx(share, abs=1e-5)


def test_a_camera_is_the_only_thing_from_elsewhere_and_only_on_its_page(world: World) -> None:
    world.robot("goose", "pendulum")
    with world.database.write() as session:
        robot_switches.set_camera(session, "goose", "https://lab.example:8443/goose.mjpg")
    client = world.app.test_client()
    policy = client.get("/robots/goose").headers["Content-Security-Policy"]
    assert "img-src 'self' https://lab.example:8443;" in policy
    assert "script-src 'self';" in policy
    assert "lab.example" not in client.get("/robots").headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "https://me:pw@lab.example/x",
        "https://lab.example/x; script-src *",
        "//x",
        "ftp://x/y",
    ],
)
def test_what_is_no_address_of_a_camera_is_refused(world: World, url: str) -> None:
    world.robot("goose")
    with pytest.raises(RunnerError, match="is no address of a camera"), world.database.write() as session:
        robot_switches.set_camera(session, "goose", url)


@pytest.fixture
def hosted(make_settings: MakeSettings, database_url: str) -> Any:
    """A server whose robots have the host Alice."""
    app = application.create_app(make_settings(DATABASE_URL=database_url, HOSTS="Alice"))
    yield World(app)
    application.close(app)


def press(world: World, login: str, choice: str) -> int:
    with world.database.write() as session:
        cookie = sessions.begin(session, login=login, person_id=1, private_repositories=[], now=utc_now())
    client = world.app.test_client()
    client.set_cookie("raas-session", cookie, domain="raas.test")
    with world.app.test_request_context(base_url="http://raas.test"):
        form = {"csrf": csrf._bound(cookie), "drain": choice}
    answer = client.post(
        "/robots/goose/drain", data=form, base_url="http://raas.test", headers={"Origin": "http://raas.test"}
    )
    return int(answer.status_code)


def test_only_a_named_host_drains_and_resumes(hosted: World) -> None:
    goose = hosted.robot("goose", "pendulum")
    goose.claim()
    assert press(hosted, "mallory", "yes") == 403
    assert hosted.app.test_client().post("/robots/goose/drain").status_code == 403
    assert "ready" in page(hosted, "/robots/goose")
    assert press(hosted, "alice", "yes") == 303
    assert "takes no jobs" in page(hosted, "/robots/goose")
    assert press(hosted, "alice", "no") == 303
    assert "ready" in page(hosted, "/robots/goose")


def test_without_robots_the_page_says_what_to_do(world: World) -> None:
    assert "raas-server runner add" in page(world, "/robots")
    assert world.app.test_client().get("/robots/goose").status_code == 404


def test_a_passport_is_read_from_the_first_recording_made_under_it(world: World, tmp_path: Path) -> None:
    def learnt() -> int:
        with world.database.write() as session:
            session.execute(update(Turn).values(next_at=utc_now()))
        return passport_reading.learn(world.services)

    goose = world.robot("goose", "pendulum")
    world.submit()
    job = goose.claim(plant="hardware", passport="2026-11-20").get_json()
    goose.call(job, "running")
    calibrated = Calibration(version="2026-11-20", gravity=Estimate(value=28.1, half_width=0.2))
    columns = ("theta", "theta_dot")
    header = Header("RaasPendulum-v1", 0.05, 400, columns, ("action",), passport=calibrated.public(0.05))
    file = tmp_path / "trajectory.npz"
    Trajectory(header, np.zeros((3, len(header.columns)))).save_npz(file)
    upload(world, goose, job, "trajectory.npz", file.read_bytes())
    assert learnt() == 0, "the job has not ended"
    result = session_result(passport="2026-11-20")
    goose.call(job, "finish", conclusion="success", reason="", sessions=[result])
    assert "soon after that run" in page(world, "/robots/goose")
    assert (learnt(), learnt()) == (1, 0), "once"
    shown = page(world, "/robots/goose")
    assert '<b>28.1</b> <span class="size">± 0.2</span>' in shown
    assert "5 to 200" in shown
    goose.claim(plant="hardware", passport="2026-11-21")
    assert learnt() == 0, "nothing was recorded under it"
    assert "soon after that run" in page(world, "/robots/goose")
