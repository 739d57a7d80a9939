"""Artifacts: offered, uploaded, confirmed, seen; in a directory and in a real S3."""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import s3_server
from chaos.line import Line
from server_world import MakeSettings, Robot, World, add_repository, offer_of, put, submit, upload
from standin import until

from github_app import api, artifacts, leases, moves, stores, verification
from github_app.models import Artifact
from github_app.parsers import Secret
from github_app.stores import Blob, Delivery, FileStore, StoreError
from runner.protocol import ArtifactUpload


@pytest.fixture
def world(world_over_each_store: World) -> World:
    return world_over_each_store


def get(world: World, path: str) -> tuple[int, Any, bytes]:
    """GET as a browser does: where we redirect to, it follows."""
    answer = world.app.test_client().get(path)
    if answer.status_code == 302:
        assert answer.headers["Cache-Control"] == "no-store"
        found = requests.get(answer.headers["Location"], timeout=10)
        return found.status_code, found.headers, found.content
    data = answer.data
    answer.close()
    return answer.status_code, answer.headers, data


@pytest.fixture
def job(world: World) -> tuple[Robot, dict[str, Any]]:
    world.submit()
    robot = world.robot()
    return robot, robot.running_job()


def test_a_file_goes_all_the_way(world: World, job: tuple[Robot, dict[str, Any]]) -> None:
    robot, held = job
    data = b"t,theta\n0,3.14\n" * 1000
    path = f"/jobs/{held['id']}/artifacts/results/run 1.csv"
    grant = robot.call(held, "artifacts", files=[offer_of("results/run 1.csv", data)]).get_json()["files"][0]
    assert get(world, path)[0] == 404
    assert put(world, grant["upload"], data) in {200, 204}
    assert get(world, path)[0] == 404, "not confirmed yet"
    for _ in range(2):
        assert robot.call(held, f"artifacts/{grant['id']}/stored").status_code == 204
    status, headers, content = get(world, path)
    assert (status, content) == (200, data)
    assert headers["Content-Type"] == "text/csv; charset=utf-8"
    assert headers["Content-Disposition"].startswith("inline")
    again = robot.call(held, "artifacts", files=[offer_of("results/run 1.csv", data)]).get_json()["files"][0]
    assert again == {"id": grant["id"], "name": "results/run 1.csv", "upload": None}
    shown = world.app.test_client().get(f"/api/v1/jobs/{held['id']}").get_json()["artifacts"][0]
    assert get(world, shown["url"].removeprefix("http://raas.test"))[2] == data


def test_an_empty_file(world: World, job: tuple[Robot, dict[str, Any]]) -> None:
    upload(world, *job, "empty.txt", b"")
    assert get(world, f"/jobs/{job[1]['id']}/artifacts/empty.txt")[2] == b""


@pytest.mark.parametrize("sent", [b"short", b"longer than it was said", b"wrong bytes"])
def test_other_content_than_was_offered_never_shows(
    world: World, job: tuple[Robot, dict[str, Any]], sent: bytes
) -> None:
    robot, held = job
    grant = robot.call(held, "artifacts", files=[offer_of("a.txt", b"right bytes")]).get_json()["files"][0]
    put(world, grant["upload"], sent)
    answer = robot.call(held, f"artifacts/{grant['id']}/stored")
    assert (answer.status_code, answer.get_json()["error"]) == (422, "upload_refused")
    assert get(world, f"/jobs/{held['id']}/artifacts/a.txt")[0] == 404
    upload(world, robot, held, "a.txt", b"right bytes")
    assert get(world, f"/jobs/{held['id']}/artifacts/a.txt")[2] == b"right bytes"


@pytest.mark.parametrize("asked_for", [True, False])
def test_a_large_file_with_other_content_never_shows(
    world: World, job: tuple[Robot, dict[str, Any]], asked_for: bool
) -> None:
    robot, held = job
    right, wrong = b"r" * (2 * api.READ_AT_ONCE), b"w" * (2 * api.READ_AT_ONCE)
    grant = robot.call(held, "artifacts", files=[offer_of("a.txt", right)]).get_json()["files"][0]
    put(world, grant["upload"], wrong)
    robot.call(held, f"artifacts/{grant['id']}/stored")  # a store that takes all says yes; nobody looked yet
    if not asked_for:
        verification.sweep(world.services)
    assert get(world, f"/jobs/{held['id']}/artifacts/a.txt")[0] == 404
    upload(world, robot, held, "a.txt", right)
    assert get(world, f"/jobs/{held['id']}/artifacts/a.txt")[2] == right
    assert verification.sweep(world.services) == 0


def test_a_large_file_is_shown_once_it_was_read(world: World, job: tuple[Robot, dict[str, Any]]) -> None:
    data = b"one line\n" * api.READ_AT_ONCE
    upload(world, *job, "notes.txt", data)
    while verification.sweep(world.services):
        pass
    assert "one line\none line" in world.app.test_client().get(f"/jobs/{job[1]['id']}").text


def test_two_digests_that_begin_alike_are_two_files(world: World, job: tuple[Robot, dict[str, Any]]) -> None:
    robot, held = job
    digest = hashlib.sha256(b"abc").hexdigest()
    places = []
    for sha256 in (digest, digest[:16] + "0" * 48):
        file = {"name": "a.txt", "size": 3, "sha256": sha256}
        grant = robot.call(held, "artifacts", files=[file]).get_json()["files"][0]
        places.append(grant["upload"]["url"].partition("?")[0])
    assert places[0] != places[1]


def test_a_forged_address_is_refused(world: World, job: tuple[Robot, dict[str, Any]]) -> None:
    robot, held = job
    grant = robot.call(held, "artifacts", files=[offer_of("a.txt", b"abc")]).get_json()["files"][0]
    forged = {**grant["upload"], "url": re.sub("(?i)(signature=)(.)", r"\g<1>0\g<2>", grant["upload"]["url"])}
    assert put(world, forged, b"abc") == 403
    elsewhere = {**grant["upload"], "url": grant["upload"]["url"].replace(f"jobs/{held['id']}/", "jobs/99/")}
    assert put(world, elsewhere, b"abc") == 403


def test_nobody_takes_the_name_of_a_stored_file(world: World, job: tuple[Robot, dict[str, Any]]) -> None:
    robot, held = job
    upload(world, robot, held, "trajectory.csv", b"the recorder's")
    answer = robot.call(held, "artifacts", files=[offer_of("trajectory.csv", b"forged")])
    assert (answer.status_code, answer.get_json()["error"]) == (409, "name_taken")
    twice = robot.call(held, "artifacts", files=[offer_of("a", b"1"), offer_of("a", b"2")])
    assert (twice.status_code, twice.get_json()["error"]) == (422, "duplicate_name")


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "../x", "a/../b", "a/./b", "a\\b", "a\nb", "a/", "x" * 300]
)
def test_names_that_are_none(world: World, job: tuple[Robot, dict[str, Any]], name: str) -> None:
    robot, held = job
    assert robot.call(held, "artifacts", files=[offer_of(name, b"")]).status_code == 422


def test_limits(world: World, job: tuple[Robot, dict[str, Any]]) -> None:
    robot, held = job
    many = [offer_of(f"{number}", b"") for number in range(201)]
    assert robot.call(held, "artifacts", files=many).get_json()["error"] == "too_many"
    huge = {"name": "huge", "size": 201 << 20, "sha256": "0" * 64}
    assert robot.call(held, "artifacts", files=[huge]).get_json()["error"] == "too_large"
    assert world.app.test_client().get(f"/api/v1/jobs/{held['id']}").get_json()["artifacts"] == []


@pytest.mark.parametrize("name", ["page.html", "drawing.svg", "feed.xml", "page.xhtml", "data.npz", "noname"])
def test_what_could_carry_scripts_is_saved_not_shown(
    world: World, job: tuple[Robot, dict[str, Any]], name: str
) -> None:
    upload(world, *job, name, b"<script>alert(1)</script>")
    _, headers, _ = get(world, f"/jobs/{job[1]['id']}/artifacts/{name}")
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["Content-Disposition"].startswith("attachment")


def test_a_name_that_runs_backwards_is_saved_under_one_that_does_not() -> None:
    told = artifacts.delivery_of("artifacts/\u202egpj.exe").disposition
    assert told == "attachment; filename=\"_gpj.exe\"; filename*=UTF-8''%EF%BF%BDgpj.exe"


def test_the_log_s_copy_is_shown_as_logs_are(world: World, job: tuple[Robot, dict[str, Any]]) -> None:
    token = "ghp_" + "a" * 36
    content = (
        f"{'x' * 70 + chr(10)}".encode() * 8000 + f"\x1b[31m{token}\n".encode() + b"y" * 2_000_000 + b"\n"
    )
    upload(world, *job, "log.txt", content)
    upload(world, *job, "artifacts/log.txt", f"the program's own {token}".encode())
    status, headers, body = get(world, f"/jobs/{job[1]['id']}/artifacts/log.txt")
    assert (status, headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
    assert body.count(b"x" * 70) == 8000
    assert b"[secret removed]\nyyy" in body
    assert token.encode() not in body
    assert len(body) > 2_500_000
    assert token.encode() in get(world, f"/jobs/{job[1]['id']}/artifacts/artifacts/log.txt")[2]


def test_a_log_s_copy_that_cannot_be_read_now_is_no_broken_answer(
    world: World, job: tuple[Robot, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(world, *job, "log.txt", b"line\n")

    def away(_: Blob) -> Iterator[bytes]:
        raise StoreError("the artifact store does not answer")
        yield b""

    monkeypatch.setattr(world.services.store, "pieces", away)
    status, _, page = get(world, f"/jobs/{job[1]['id']}/artifacts/log.txt")
    assert (status, b"Where the files are kept does not answer." in page) == (503, True)


def test_what_the_host_recorded_is_listed_first(world: World, job: tuple[Robot, dict[str, Any]]) -> None:
    for name in ("artifacts/a.txt", "artifacts/z.txt", "trajectory.csv"):
        upload(world, *job, name, name.encode())
    shown = world.app.test_client().get(f"/api/v1/jobs/{job[1]['id']}").get_json()["artifacts"]
    assert [file["name"] for file in shown] == ["trajectory.csv", "artifacts/a.txt", "artifacts/z.txt"]


def test_a_private_repositorys_files_do_not_exist_for_strangers(world: World) -> None:
    submit(world.database, repository_id=add_repository(world.database, private=True, number=2))
    robot = world.robot()
    held = robot.running_job()
    upload(world, robot, held, "a.txt", b"secret")
    assert get(world, f"/jobs/{held['id']}/artifacts/a.txt")[0] == 404
    client = world.app.test_client()
    assert client.get(f"/api/v1/jobs/{held['id']}").status_code == 404
    assert client.get("/api/v1/jobs").get_json()["jobs"] == []


def test_a_lost_runs_files_may_still_come(world: World, job: tuple[Robot, dict[str, Any]]) -> None:
    robot, held = job
    with world.database.write() as session:
        rules = leases.LeaseRules(30, 900, 1000)
        later = moves.utc_now().replace(year=2099)
        leases.reap(session, world.database, rules, now=later)
    assert world.job(held["id"]).lost
    upload(world, robot, held, "a.txt", b"late")
    assert robot.call(held, "finish", conclusion="failure", reason="it fell").status_code == 204
    late = robot.call(held, "artifacts", files=[offer_of("b.txt", b"too late")])
    assert late.get_json()["error"] == "stale_fence"


def test_the_doctor_can_tell(world: World) -> None:
    assert "artifacts are kept in" in world.services.store.check()


def test_wrong_credentials_are_said_in_a_sentence(
    s3: str, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    store = stores.open_store(make_settings(ARTIFACTS="s3://bucket", S3_ENDPOINT_URL=s3))
    with pytest.raises(stores.StoreError, match="check RAAS_ARTIFACTS"):
        store.check()
    with pytest.raises(stores.StoreError):
        store.confirm(Blob("jobs/1/1", 1, "0" * 64))


def test_a_store_whose_connections_break_is_away(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    line = Line(0)
    line.cut()
    store = stores.open_store(make_settings(ARTIFACTS="s3://bucket", S3_ENDPOINT_URL=line.url))
    blob = Blob(f"jobs/7/1-{'0' * 64}", 1, "0" * 64, ticket="t")
    questions: list[Callable[[], object]] = [
        lambda: store.begin(blob),
        lambda: store.confirm(blob),
        lambda: store.verify(blob),
        lambda: store.head(blob, 1),
        lambda: next(store.pieces(blob)),
        lambda: store.remove_job(7),
        store.check,
    ]
    for question in questions:
        with pytest.raises(StoreError):
            question()
    line.close()


def test_addresses_are_signed_for_where_browsers_are(s3: str, make_settings: MakeSettings) -> None:
    outside = "https://files.example.org"
    settings = make_settings(ARTIFACTS="s3://bucket", S3_ENDPOINT_URL=s3, S3_PUBLIC_ENDPOINT_URL=outside)
    store = stores.open_store(settings)
    sent = store.upload(store.begin(Blob(f"k-{'0' * 64}", 1, "0" * 64)))
    assert sent.url.startswith(f"{outside}/bucket/k-")
    assert store.address(Blob("k", 1, "0" * 64), Delivery("a/b", "inline")).startswith(f"{outside}/bucket/k?")


def test_a_store_that_checks_uploads_needs_nobody_to_read_them(
    s3: str, checking_s3: str, make_settings: MakeSettings
) -> None:
    digest = hashlib.sha256(b"abc").hexdigest()
    known, said = {}, {}
    for address in (s3, checking_s3):
        store = stores.open_store(make_settings(ARTIFACTS="s3://bucket/checks", S3_ENDPOINT_URL=address))
        blob = store.begin(Blob(f"jobs/7/1-{digest}", 3, digest))
        sent = store.upload(blob)
        requests.put(sent.url, data=b"abc", headers=sent.headers, timeout=10).raise_for_status()
        known[address], said[address] = store.confirm(blob), store.check()
        store.verify(blob)
        assert store.head(blob, 9) == b"abc"
    assert known == {s3: False, checking_s3: True}
    assert "checks uploads itself" in said[checking_s3]
    assert "checks no uploads" in said[s3]


def test_an_upload_that_was_given_up_leaves_nothing(s3: str, make_settings: MakeSettings) -> None:
    settings = make_settings(**s3_server.settings(s3))
    store = stores.open_store(settings)
    digest = hashlib.sha256(b"abc").hexdigest()
    for remove in (store.settle, lambda _: store.remove_job(7)):
        blob = store.begin(Blob(f"jobs/7/1-{digest}", 3, digest))
        sent = store.upload(blob)
        requests.put(sent.url, data=b"abc", headers=sent.headers, timeout=10).raise_for_status()
        remove(blob)
        with pytest.raises(stores.UploadRefusedError, match="PUT it first"):
            store.confirm(blob)


def test_an_upload_address_grows_old(make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    store = stores.open_store(make_settings())
    assert isinstance(store, stores.FileStore)
    blob = Blob("jobs/1/1", 3, hashlib.sha256(b"abc").hexdigest())
    query = dict(pair.split("=") for pair in store.upload(blob).url.partition("?")[2].split("&"))
    store.permit(blob, int(query["expires"]), query["signature"])
    monkeypatch.setattr(time, "time", lambda: float(query["expires"]) + 1)
    with pytest.raises(stores.UploadRefusedError, match="expired"):
        store.permit(blob, int(query["expires"]), query["signature"])


def test_a_confirmed_file_is_replaced_by_nothing(world: World, job: tuple[Robot, dict[str, Any]]) -> None:
    robot, held = job
    grant = robot.call(held, "artifacts", files=[offer_of("a.txt", b"right bytes")]).get_json()["files"][0]
    assert put(world, grant["upload"], b"right bytes") in {200, 204}
    assert robot.call(held, f"artifacts/{grant['id']}/stored").status_code == 204
    for other in (b"wrong bytes", b"longer than it was said", b""):
        put(world, grant["upload"], other)  # the address is valid for an hour; some stores even take it
        robot.call(held, f"artifacts/{grant['id']}/stored")
        assert get(world, f"/jobs/{held['id']}/artifacts/a.txt")[::2] == (200, b"right bytes")


def test_an_address_is_for_one_length_and_one_claimed_digest(
    world: World, job: tuple[Robot, dict[str, Any]]
) -> None:
    robot, held = job
    grant = robot.call(held, "artifacts", files=[offer_of("a.txt", b"right bytes")]).get_json()["files"][0]
    sent = grant["upload"]
    assert put(world, sent, b"longer than it was said") not in {200, 204}
    if "x-amz-checksum-sha256" in sent["headers"]:
        other = base64.b64encode(hashlib.sha256(b"other bytes").digest()).decode()
        claimed = {**sent, "headers": {**sent["headers"], "x-amz-checksum-sha256": other}}
        assert put(world, claimed, b"other bytes") == 403
        unclaimed = {**sent, "headers": {"Content-Type": "application/octet-stream"}}
        assert put(world, unclaimed, b"right bytes") == 403
    assert get(world, f"/jobs/{held['id']}/artifacts/a.txt")[0] == 404


def test_two_confirmations_at_once_leave_one_whole_file(
    world: World, job: tuple[Robot, dict[str, Any]]
) -> None:
    robot, held = job
    grant = robot.call(held, "artifacts", files=[offer_of("a.txt", b"right bytes")]).get_json()["files"][0]
    put(world, grant["upload"], b"right bytes")
    with world.database.read() as session:
        blob = artifacts.blob_of(session.get_one(Artifact, grant["id"]))
    for _ in range(2):
        world.services.store.confirm(blob)
        put(world, grant["upload"], b"wrong bytes")
        world.services.store.verify(blob)
    assert world.services.store.head(blob, 100) == b"right bytes"


def test_a_confirmation_that_nobody_lived_to_note_is_repeated(
    world: World, job: tuple[Robot, dict[str, Any]]
) -> None:
    robot, held = job
    grant = robot.call(held, "artifacts", files=[offer_of("a.txt", b"right bytes")]).get_json()["files"][0]
    put(world, grant["upload"], b"right bytes")
    with world.database.read() as session:
        world.services.store.confirm(artifacts.blob_of(session.get_one(Artifact, grant["id"])))
    assert robot.call(held, f"artifacts/{grant['id']}/stored").status_code == 204
    assert get(world, f"/jobs/{held['id']}/artifacts/a.txt")[2] == b"right bytes"


def test_nobody_makes_an_address_last_longer(s3: str, make_settings: MakeSettings) -> None:
    store = stores.open_store(make_settings(ARTIFACTS="s3://bucket", S3_ENDPOINT_URL=s3))
    digest = hashlib.sha256(b"abc").hexdigest()
    sent = store.upload(store.begin(Blob(f"jobs/7/1-{digest}", 3, digest)))
    assert f"X-Amz-Expires={stores.UPLOAD_VALID_S}&" in sent.url
    longer = sent.url.replace("X-Amz-Expires=3600", "X-Amz-Expires=36000")
    assert requests.put(longer, data=b"abc", headers=sent.headers, timeout=10).status_code == 403


def test_an_address_at_the_store_grows_old_and_the_next_one_is_fresh(
    s3: str, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("github_app.s3.DOWNLOAD_VALID_S", 1)
    monkeypatch.setattr("github_app.s3.UPLOAD_VALID_S", 1)
    store = stores.open_store(make_settings(ARTIFACTS="s3://bucket", S3_ENDPOINT_URL=s3))
    digest = hashlib.sha256(b"abc").hexdigest()
    there, to_come = (store.begin(Blob(f"jobs/8/{number}-{digest}", 3, digest)) for number in (1, 2))

    def send(upload: ArtifactUpload) -> bool:
        return requests.put(upload.url, data=b"abc", headers=upload.headers, timeout=10).ok

    assert send(store.upload(there))
    store.confirm(there)
    shown = Delivery("text/plain", "inline")
    old_read, old_upload = store.address(there, shown), store.upload(to_come)
    until(lambda: not requests.get(old_read, timeout=10).ok and not send(old_upload))
    assert requests.get(store.address(there, shown), timeout=10).content == b"abc"
    assert send(store.upload(to_come))


def test_texts_tables_and_pictures_are_shown_in_the_page(
    world: World, job: tuple[Robot, dict[str, Any]]
) -> None:
    robot, held = job
    table = b'# raas {"version": 1}\ntick,theta\n' + b"".join(b"%d,3.14\n" % tick for tick in range(2000))
    upload(world, robot, held, "run.csv", table)
    upload(world, robot, held, "scores.json", b'{"best": [1, 2]}')
    upload(world, robot, held, "notes.txt", b"<script>alert(1)</script>\n\x1b[31mred\n")
    upload(world, robot, held, "plot one.png", b"\x89PNG\r\n\x1a\n")
    upload(world, robot, held, "film.mp4", b"\x00\x00\x00\x18ftyp")
    upload(world, robot, held, "page.html", b"<script>alert(2)</script>")
    upload(world, robot, held, "drawing.svg", b"<svg onload='alert(3)'/>")
    answer = world.app.test_client().get(f"/jobs/{held['id']}")
    page = answer.text
    assert '<th scope="col">tick</th><th scope="col">theta</th>' in page
    assert '<td class="number">9</td><td class="number">3.14</td>' in page
    assert '<td class="number">11</td>' not in page
    assert "&#34;best&#34;: [\n" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\nred" in page
    assert f'<img src="/jobs/{held["id"]}/artifacts/plot%20one.png" alt="plot one.png"' in page
    assert f'<video src="/jobs/{held["id"]}/artifacts/film.mp4" controls' in page
    assert "alert(2)" not in page
    assert "alert(3)" not in page
    rules = answer.headers["Content-Security-Policy"]
    origin = world.services.store.origin
    assert f"img-src 'self'{origin and ' ' + origin};" in rules
    assert f"media-src 'self'{origin and ' ' + origin};" in rules
    assert "unsafe" not in rules


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileStore(tmp_path, "http://raas.test", Secret("k" * 40))
    content = b"x" * 1000

    def no_room(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_room)  # where a file system says so at the latest
    with pytest.raises(StoreError, match=r"No space left on device.; its operator has to make room"):
        store.receive(Blob("jobs/1/1-x", 1000, hashlib.sha256(content).hexdigest()), [content])
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
