"""A job's recording for those who look again: data, animation, plot; from a directory and a real S3."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from server_world import Robot, World, add_repository, upload

from raas_gym import MEASURED
from raas_gym.trajectory import Header, Trajectory

HEADER = Header(
    "RaasPendulum-v1",
    0.05,
    400,
    ("theta", "theta_dot"),
    ("action",),
    robot="goose",
    passport={"version": "v7", "parameters": MEASURED.as_dict()},
)


@pytest.fixture
def world(world_over_each_store: World) -> World:
    return world_over_each_store


def recording(path: Path, rows: int = 100, header: Header = HEADER) -> bytes:
    table = np.zeros((rows, len(header.columns)))
    table[:, 0] = np.arange(rows)
    table[:, 1] = np.arange(rows) * header.dt
    table[:, 2] = 3.0 * np.sin(np.arange(rows) / 9)
    Trajectory(header, table).save_npz(path)
    return path.read_bytes()


def finished(world: World, files: dict[str, bytes], *, private: bool = False) -> int:
    """A job that left these files."""
    fields = {"repository_id": add_repository(world.database, private=True, number=9)} if private else {}
    world.submit(**fields)
    robot: Robot = world.robot()
    job = robot.running_job()
    for name, data in files.items():
        upload(world, robot, job, name, data)
    assert robot.call(job, "finish", conclusion="failure", reason="it fell").status_code == 204
    return int(job["id"])


def test_the_data_of_each_session(world: World, tmp_path: Path) -> None:
    job = finished(
        world,
        {
            "session-0/trajectory.npz": recording(tmp_path / "a.npz", 100),
            "session-1/trajectory.npz": recording(tmp_path / "b.npz", 50),
        },
    )
    client = world.app.test_client()
    first = client.get(f"/api/v1/jobs/{job}/trajectory").get_json()
    second = client.get(f"/api/v1/jobs/{job}/trajectory?session=1").get_json()
    assert [(one["session"], one["sessions"], one["ticks"]) for one in (first, second)] == [
        (0, 2, 100),
        (1, 2, 50),
    ]
    assert len(first["columns"]["theta"]) == len(first["ghost"]["theta"]) == 100
    assert client.get(f"/api/v1/jobs/{job}/trajectory?session=2").status_code == 404
    assert client.get(f"/api/v1/jobs/{job}/trajectory?session=-1").status_code == 422


def test_an_answer_is_packed_and_remembered_by_browsers(world: World, tmp_path: Path) -> None:
    job = finished(world, {"trajectory.npz": recording(tmp_path / "a.npz")})
    client = world.app.test_client()
    url = f"/api/v1/jobs/{job}/trajectory"
    plain = client.get(url)
    packed = client.get(url, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == plain.data
    again = client.get(url, headers={"If-None-Match": plain.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_the_pictures(world: World, tmp_path: Path) -> None:
    job = finished(world, {"trajectory.npz": recording(tmp_path / "a.npz")})
    client = world.app.test_client()
    moving = client.get(f"/jobs/{job}/replay.gif")
    assert (moving.status_code, moving.mimetype) == (200, "image/gif")
    assert moving.data.startswith(b"GIF89a")
    assert len(moving.data) < 2_000_000
    light, dark = (client.get(f"/jobs/{job}/plot.svg{query}").data for query in ("", "?dark=1"))
    assert light.startswith(b"<svg")
    assert light != dark


def test_strangers_see_nothing_of_a_private_job(world: World, tmp_path: Path) -> None:
    job = finished(world, {"trajectory.npz": recording(tmp_path / "a.npz")}, private=True)
    client = world.app.test_client()
    for path in (f"/api/v1/jobs/{job}/trajectory", f"/jobs/{job}/replay.gif", f"/jobs/{job}/plot.svg"):
        assert client.get(path).status_code == 404


def test_without_a_recording_or_with_a_damaged_one_the_answer_says_so(world: World, tmp_path: Path) -> None:
    none = finished(world, {"other.txt": b"hello"})
    whole = recording(tmp_path / "a.npz")
    damaged = finished(world, {"trajectory.npz": whole[: len(whole) // 2]})
    empty = finished(world, {"trajectory.npz": recording(tmp_path / "e.npz", 0)})
    client = world.app.test_client()
    for job, status in ((none, 404), (damaged, 422), (empty, 422)):
        answer = client.get(f"/api/v1/jobs/{job}/trajectory")
        assert answer.status_code == status
        assert "recording" in answer.get_json()["message"]
        for picture in ("replay.gif", "plot.svg"):
            assert client.get(f"/jobs/{job}/{picture}").status_code == 404
    assert client.get("/api/v1/jobs/999999/trajectory").status_code == 404


def test_the_page_offers_the_replay_only_where_there_is_a_recording(world: World, tmp_path: Path) -> None:
    with_one = finished(world, {"trajectory.npz": recording(tmp_path / "a.npz")})
    without = finished(world, {"other.txt": b"hello"})
    client = world.app.test_client()
    page = client.get(f"/jobs/{with_one}").get_data(as_text=True)
    assert f"/jobs/{with_one}/plot.svg" in page
    assert f"/jobs/{with_one}/replay.gif" in page
    assert 'data-replayable="true"' in page
    page = client.get(f"/jobs/{without}").get_data(as_text=True)
    assert "plot.svg" not in page
    assert 'data-replayable="false"' in page
