"""The job contract's client against a server that misbehaves, over real HTTP; and the command line."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from demo.processes import wait_until
from runner import settings
from runner.cli import raas_runner
from runner.client import Client, ConflictError, RefusedError, UnreachableError
from runner.delivery import Delivery, hand_over
from runner.happenings import Happenings
from runner.held import HeldJob, Phase, Store
from runner.joblog import JobLog
from runner.keeper import Keeper
from runner.protocol import (
    PREFIX,
    ArtifactUpload,
    Claim,
    ClaimedJob,
    Conclusion,
    Finish,
    Heartbeat,
    JobLimits,
    RobotReport,
)
from runner.pulse import Pulse

Answer = tuple[int, dict[str, str], bytes]


class Server(ThreadingHTTPServer):
    """Gives the prepared answers in order, the last one for ever, or by path; remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[Answer] = []
        self.answers_by_path: Callable[[str], Answer] | None = None
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, self.path, dict(self.headers), body))
        if self.server.answers_by_path is not None:
            self._say(self.server.answers_by_path(self.path))
            return
        self._say(self.server.answers[0])
        if len(self.server.answers) > 1:
            self.server.answers.pop(0)

    def _say(self, answer: Answer) -> None:
        status, headers, content = answer
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = _handle  # noqa: N815  # the library's names

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    client = Client(server.url, "secret")
    yield client
    client.close()


def _error(status: int, message: str = "no", **headers: str) -> Answer:
    return status, headers, json.dumps({"error": "code", "message": message}).encode()


OK: Answer = (204, {}, b"")
JOB = ClaimedJob(
    id=7,
    attempt=1,
    fence="f",
    repository="ada/spoon",
    sha="a" * 40,
    ref="main",
    config={},
    sessions=1,
    limits=JobLimits(**dict.fromkeys(JobLimits.model_fields, 1)),
    lease_s=30.0,
    heartbeat_s=5.0,
    url="",
)


def test_what_may_pass_is_repeated(server: Server, client: Client) -> None:
    server.answers = [_error(503), _error(502), _error(429, **{"Retry-After": "0"}), OK]
    client.running(1, "fence", budget_s=20)
    assert len(server.asked) == 4
    assert all(headers["RAAS-Protocol"] == "1" for _, _, headers, _ in server.asked)
    assert all(headers["Authorization"] == "Bearer secret" for _, _, headers, _ in server.asked)


def test_while_results_cannot_be_delivered_the_lease_is_renewed(
    server: Server, client: Client, tmp_path: Path
) -> None:
    """The store is away, and every question about files is answered after a while with 503."""
    beats, beaten = 0, threading.Event()

    def answer(path: str) -> Answer:
        nonlocal beats
        if path.endswith("/heartbeat"):
            beats += 1
            if beats == 3:
                beaten.set()
            return 200, {}, b'{"log_length": 0, "cancel": null}'
        if path.endswith("/artifacts"):
            return (200, {}, b'{"files": []}') if beaten.wait(20) else _error(503)
        return OK

    server.answers_by_path = answer
    store, job = Store(tmp_path), JOB.model_copy(update={"heartbeat_s": 0.01})
    last_words = Finish(fence="f", conclusion=Conclusion.SUCCESS, reason="done")
    held = HeldJob(job=job, key="k", phase=Phase.ENDED, finish=last_words)
    store.save(held)
    results = store.folder(held) / "results"
    results.mkdir()
    (results / "a.txt").write_text("a")
    log = JobLog(store.folder(held) / "log", 1000)
    pulse = Pulse(client.twin(), job, log, Happenings())
    pulse.start()
    assert hand_over(pulse, client, store, held) is Delivery.DONE
    pulse.stop()
    log.close()
    assert beats >= 3


def test_jobs_that_nobody_delivers_just_now_stay_ours(server: Server, client: Client, tmp_path: Path) -> None:
    beats: Counter[str] = Counter()

    def answer(path: str) -> Answer:
        beats[path] += 1
        over = path.endswith("/8/heartbeat")
        return _error(409, "over") if over else (200, {}, b'{"log_length": 0, "cancel": null}')

    server.answers_by_path = answer
    store = Store(tmp_path)
    for number, phase in ((7, Phase.ENDED), (8, Phase.ENDED), (9, Phase.RUNNING)):
        store.save(HeldJob(job=JOB.model_copy(update={"id": number}), key="k", phase=phase))
    with Keeper(store, client, every_s=0.01).keeping():
        wait_until(lambda: beats[f"{PREFIX}/jobs/7/heartbeat"] > 3, 20, "the lease to be renewed")
    assert set(beats) == {f"{PREFIX}/jobs/7/heartbeat", f"{PREFIX}/jobs/8/heartbeat"}
    assert beats[f"{PREFIX}/jobs/8/heartbeat"] == 1


def test_a_stale_fence_is_told_at_once(server: Server, client: Client) -> None:
    server.answers = [_error(409, "the lease was lost")]
    with pytest.raises(ConflictError, match="the lease was lost"):
        client.running(1, "fence", budget_s=20)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (_error(401, "unknown token"), "unknown token"),
        (_error(426, "this server speaks version 2, you speak 1"), "version 2"),
        ((404, {}, b"<html>"), "answered 404"),
        ((302, {"Location": "https://elsewhere"}, b""), "redirects to https://elsewhere"),
    ],
)
def test_a_refusal_is_not_repeated(server: Server, client: Client, answer: Answer, words: str) -> None:
    server.answers = [answer]
    with pytest.raises(RefusedError, match=words):
        client.running(1, "fence", budget_s=20)
    assert len(server.asked) == 1


def test_a_budget_ends(server: Server, client: Client) -> None:
    server.answers = [_error(503, "overloaded")]
    with pytest.raises(UnreachableError, match="overloaded"):
        client.running(1, "fence", budget_s=0.5)


def test_nobody_there(server: Server) -> None:
    url = "http://127.0.0.1:1"
    client = Client(url)
    with pytest.raises(UnreachableError, match="Connection refused"):
        client.running(1, "fence", budget_s=0.1)
    client.close()


@pytest.mark.parametrize("body", [b"", b"<html>hello</html>", b'{"log_length": "many"}', b"[]"])
def test_an_answer_that_is_none(server: Server, client: Client, body: bytes) -> None:
    server.answers = [(200, {}, body)]
    with pytest.raises(UnreachableError, match="is this a RaaS server"):
        client.heartbeat(1, Heartbeat(fence="f"))


def test_a_server_that_tells_no_name_has_none_and_one_that_is_no_name_is_not_taken(
    server: Server, client: Client
) -> None:
    robot = RobotReport(kind="pendulum", plant="simulated", env_ids=[], healthy=True, passport="simulated")
    wish = Claim(key="0" * 32, wait_s=0.0, robot=robot, software="1")
    body = JOB.model_dump_json().encode()
    server.answers = [
        (200, {}, body),
        (200, {"RAAS-Server": "5eed"}, body),
        (200, {"RAAS-Server": "../"}, body),
    ]
    assert client.claim(wish) == (JOB, "")
    assert client.claim(wish) == (JOB, "5eed")
    with pytest.raises(UnreachableError, match="no server's identity"):
        client.claim(wish)


def test_a_source_is_fetched_as_it_is(server: Server, client: Client, tmp_path: Path) -> None:
    server.answers = [_error(503), (200, {"Content-Type": "application/gzip"}, b"bytes")]
    assert client.source(1, "fence", tmp_path / "s", 100, 20) == 5
    assert (tmp_path / "s").read_bytes() == b"bytes"
    assert server.asked[-1][2]["RAAS-Fence"] == "fence"


def test_a_source_that_is_too_long_is_refused(server: Server, client: Client, tmp_path: Path) -> None:
    server.answers = [(200, {}, b"x" * 1000)]
    with pytest.raises(RefusedError, match="larger than"):
        client.source(1, "fence", tmp_path / "s", 100, 20)


def test_a_source_cut_short_is_fetched_again(server: Server, client: Client, tmp_path: Path) -> None:
    server.answers = [(200, {"Content-Length": "10", "Connection": "close"}, b"half"), (200, {}, b"whole")]
    assert client.source(1, "fence", tmp_path / "s", 100, 20) == 5
    assert (tmp_path / "s").read_bytes() == b"whole"


@pytest.mark.parametrize("content", [b"", b"data"])
def test_an_upload_carries_no_token(server: Server, client: Client, tmp_path: Path, content: bytes) -> None:
    server.answers = [OK]
    (tmp_path / "f").write_bytes(content)
    client.put(ArtifactUpload(url=f"{server.url}/up?sig=1", headers={"X-Sum": "1"}), tmp_path / "f")
    method, path, headers, body = server.asked[0]
    assert (method, path, body) == ("PUT", "/up?sig=1", content)
    assert headers["Content-Length"] == str(len(content))
    assert headers["X-Sum"] == "1"
    assert "Authorization" not in headers


def test_register_keeps_the_token_to_itself(server: Server, tmp_path: Path) -> None:
    registered = {"name": "goose", "labels": ["pendulum"], "token": "raas_secret"}
    server.answers = [(200, {}, json.dumps(registered).encode())]
    config = tmp_path / "etc" / "runner.yml"
    command = ["--config", str(config), "register", "--server", server.url, "--token", "once"]
    done = CliRunner().invoke(raas_runner, [*command, "--data-dir", str(tmp_path / "data")])
    assert done.exit_code == 0, done.output
    assert "raas_secret" not in done.output + config.read_text()
    assert settings.read_token(config) == "raas_secret"
    assert settings.read(config).data_dir == tmp_path / "data"
    config.with_suffix(".token").chmod(0o644)
    with pytest.raises(settings.SettingsError, match="chmod 600"):
        settings.read_token(config)


def test_commands_without_settings_say_what_to_do(tmp_path: Path) -> None:
    for command in ("run", "drain", "status"):
        done = CliRunner().invoke(raas_runner, ["--config", str(tmp_path / "none.yml"), command])
        assert done.exit_code == 1
        assert "raas-runner register" in done.output
        assert "Traceback" not in done.output


def test_settings_with_a_mistake_name_the_line(tmp_path: Path) -> None:
    (tmp_path / "r.yml").write_text("server: http://x\nname: goose\ndata_dir: /d\nmemory: 3\n")
    with pytest.raises(settings.SettingsError, match="line 4"):
        settings.read(tmp_path / "r.yml")


@pytest.fixture
def no_docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    return lambda kind: monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/{kind}.sock")


def test_doctor_says_that_docker_is_missing(no_docker: Callable[[str], None], tmp_path: Path) -> None:
    no_docker("absent")
    done = CliRunner().invoke(raas_runner, ["--config", str(tmp_path / "none.yml"), "doctor"])
    assert done.exit_code == 1
    assert "FIX  Docker is not installed or not running" in done.output
    assert "raas-runner register" in done.output
