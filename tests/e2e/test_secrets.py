"""No secret leaves its place: each is planted or caught, the whole way is gone, and then all is searched."""

from __future__ import annotations

import html
import re
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urljoin, urlsplit

import postgres as pg
import psycopg
import pytest
import requests
import s3_server
from e2e_lab import STEPPING, Lab
from needs import need
from psycopg.sql import SQL, Identifier

from demo.processes import script
from demo.stack import LABELS, REPOSITORY, Stack

pytestmark = [pytest.mark.docker, pytest.mark.postgres, pytest.mark.timeout(480)]

KEY = "planted-secret-key-4f6b1d0c9a7e4f6b1d0c9a7e"
PASSWORD = "planted-database-password-81c2"

SHAPES = {
    "a token of GitHub's": re.compile(rb"gh[suopr]_[A-Za-z0-9_-]{20,}"),
    "a private key": re.compile(rb"PRIVATE KEY-----\s*[A-Za-z0-9+/]{20,}"),
    "a presigned address": re.compile(rb"X-Amz-Signature=[0-9a-f]{16,}"),
    "a signed upload": re.compile(rb"/uploads/\S+signature=[0-9a-f]{16,}"),
}

SEARCHING = """\
import os
import pathlib
import gymnasium as gym
import raas_gym

env = gym.make("RaasPendulum-v1")
env.reset()
env.step([1.0])
for name, value in os.environ.items():
    print(name, "=", value)
found = b""
for folder, folders, names in os.walk("/"):
    folders[:] = [one for one in folders if folder != "/" or one not in ("usr", "sys", "lib", "lib64")]
    if folder.count("/") > 5:
        folders.clear()
    for name in names:
        path = pathlib.Path(folder, name)
        try:
            if path.is_file() and (path.stat().st_size < 65536 or folder.startswith("/proc")):
                with path.open("rb") as file:
                    os.set_blocking(file.fileno(), False)
                    found += b"\\n== " + bytes(path) + b"\\n" + (file.read(65536) or b"")
        except OSError:
            continue
        if len(found) > 8_000_000:
            break
target = pathlib.Path("/artifacts/found.bin")
target.write_bytes(found)
print("wrote", len(found), "bytes")
"""


@dataclass
class Search:
    """What must not be found, and where it was looked for."""

    secrets: dict[str, str] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)
    places: int = 0

    def look(self, place: str, data: bytes | str) -> None:
        """Note each secret that this holds."""
        raw = data.encode() if isinstance(data, str) else data
        self.places += 1
        self.found += [f"{what} in {place}" for what, value in self.secrets.items() if value.encode() in raw]
        self.found += [f"{what} in {place}" for what, shape in SHAPES.items() if shape.search(raw)]

    def look_below(self, folder: Path, *but: Path) -> None:
        """In all files of a folder but these."""
        files = [path for path in folder.rglob("*") if path.is_file() and path not in but]
        assert files, folder
        for path in files:
            self.look(str(path), path.read_bytes())


@dataclass
class Place:
    """Everything running, with every secret known to the test."""

    lab: Lab
    stack: Stack
    search: Search
    database: str
    bucket: Path


@pytest.fixture
def place(base_image: None, tmp_path: Path) -> Iterator[Place]:
    """PostgreSQL with a password in its URL, an S3, a server that logs all it can."""
    need(pg.missing() is None, "PostgreSQL", pg.missing() or "")
    bucket, cluster = tmp_path / "s3", pg.Cluster()
    bucket.mkdir()
    database = cluster.database()
    with s3_server.serve(bucket) as address:
        settings = {
            **{f"RAAS_{name}": value for name, value in s3_server.settings(address).items()},
            **s3_server.CREDENTIALS,
            "RAAS_DATABASE_URL": database.replace("postgres@", f"postgres:{PASSWORD}@"),
            "RAAS_SECRET_KEY": KEY,
            "RAAS_LOG_LEVEL": "debug",
        }
        stack = Stack(tmp_path / "lab", settings)
        try:
            yield Place(Lab(stack), stack, _begin(stack), database, bucket)
        finally:
            stack.stop()
            cluster.close()


def _begin(stack: Stack) -> Search:
    """Start all, as `Stack.start` does, and note the secrets on the way."""
    stack.start_github()
    stack.app = stack.world.app(
        "raas",
        webhook_url=f"{stack.url}/webhooks/github",
        webhook_secret=secrets.token_hex(20),
        manifest=REPOSITORY / "app.yml",
        callback_urls=[f"{stack.url}/sign-in/done"],
    )
    stack.start_server()
    stack.start_controller()
    add = [script("raas-server"), "runner", "add", stack.robots[0], "--labels", LABELS]
    invitation = subprocess.run(
        add, env=stack.server_environment(), check=True, capture_output=True, text=True
    ).stdout.split()[-1]
    register = [script("raas-runner"), "register", "--server", stack.url, "--token", invitation]
    register += ["--controller", str(stack.control_socket), "--data-dir", str(stack.data / "runner")]
    subprocess.run(register, env=stack.runner_environment(), check=True, capture_output=True)
    stack.start_runner()
    key = stack.app.private_key.splitlines()
    return Search(
        {
            "the App's key": key[len(key) // 2],
            "the webhook secret": stack.app.webhook_secret,
            "the client secret": stack.app.client_secret,
            "the secret key": KEY,
            "the S3 secret": s3_server.SECRET,
            "the database's password": PASSWORD,
            "the invitation": invitation,
            "the runner's token": (stack.data / "runner" / "runner.token").read_text().strip(),
        }
    )


def _sign_in(place: Place) -> requests.Session:
    """As a browser; what it is handed on the way is secret too."""
    person, caught = requests.Session(), place.search.secrets
    person.trust_env = False
    person.cookies.set("viewer", "ada", domain="127.0.0.1")
    page = person.get(f"{place.stack.url}/sign-in?next=/", timeout=30)
    form = re.search(r'<form[^>]*action="([^"]*authorize[^"]*)".*?</form>', page.text, re.DOTALL)
    assert form is not None, page.text
    hidden = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', form[0])
    fields = {name: html.unescape(value) for name, value in hidden} | {"decision": "authorize"}
    origin = f"{urlsplit(page.url).scheme}://{urlsplit(page.url).netloc}"
    target = urljoin(page.url, html.unescape(form[1]))
    back = person.post(target, fields, headers={"Origin": origin}, allow_redirects=False, timeout=30).headers[
        "Location"
    ]
    caught["the OAuth code"] = parse_qs(urlsplit(back).query)["code"][0]
    assert person.get(back, timeout=30).status_code == 200
    assert requests.get(back, timeout=30).status_code >= 400, "a code counts once, in its own browser"
    ours = {name: value for name, value in person.cookies.items() if value and name != "viewer"}
    assert ours
    caught |= {f"the cookie {name}": value for name, value in ours.items()}
    return person


def _files(place: Place, job: int) -> dict[str, bytes]:
    """A job's artifacts, by the redirects that people get; their signatures are secret from now on."""
    shown = requests.get(f"{place.stack.url}/api/v1/jobs/{job}", timeout=30).json()["artifacts"]
    contents = {}
    for file in shown:
        answer = requests.get(file["url"], allow_redirects=False, timeout=30)
        if file["name"] == "log.txt":  # shown by the server itself, as logs are
            assert answer.status_code == 200
            contents[file["name"]] = answer.content
            continue
        assert answer.status_code == 302
        signed = answer.headers["Location"]
        signature = parse_qs(urlsplit(signed).query)["X-Amz-Signature"][0]
        place.search.secrets[f"the signature of {file['name']}"] = signature
        contents[file["name"]] = requests.get(signed, timeout=30).content
    return contents


def _rows(url: str) -> Iterator[tuple[str, bytes]]:
    """Each table of the database, as bytes."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (name,) in names:
            rows = connection.execute(SQL("SELECT * FROM {}").format(Identifier(name))).fetchall()
            cells = (cell if isinstance(cell, bytes) else str(cell).encode() for row in rows for cell in row)
            yield name, b"\n".join(cells)


def _troubles(place: Place) -> None:
    """What makes a server write errors."""
    url = place.stack.url
    headers = {"X-GitHub-Event": "push", "X-GitHub-Delivery": "1", "X-Hub-Signature-256": "sha256=00"}
    assert requests.post(f"{url}/webhooks/github", b"{", headers=headers, timeout=30).status_code == 401
    token = place.search.secrets["the runner's token"]
    authorised = {"Authorization": f"Bearer {token}", "RAAS-Protocol": "1"}
    for body in ({"nonsense": token}, {"key": token, "wait_s": "x"}):
        answer = requests.post(f"{url}/api/v1/runner/claim", json=body, headers=authorised, timeout=30)
        assert answer.status_code == 422
        place.search.look("an answer to nonsense", answer.content)
    used = {"token": place.search.secrets["the invitation"], "software": "1"}
    again = requests.post(
        f"{url}/api/v1/runner/register", json=used, headers={"RAAS-Protocol": "1"}, timeout=30
    )
    assert again.status_code == 401
    place.search.look("the answer to a used invitation", again.content)


def test_no_secret_is_anywhere_it_should_not_be(place: Place) -> None:
    lab, stack, search = place.lab, place.stack, place.search
    _troubles(place)
    runs = []
    for program in (SEARCHING, STEPPING.format(steps=2) + "1 / 0\n"):
        name, sha = lab.repository({"run.py": program})
        runs += [(name, run) for run in lab.finished(name, sha, timeout_s=120)]
    person = _sign_in(place)
    jobs = [int(run["external_id"]) for _, run in runs]
    files = {(job, name): data for job in jobs for name, data in _files(place, job).items()}
    searched = next(data for (_, name), data in files.items() if name.endswith("found.bin"))
    assert re.search(rb"== /proc/\d+/environ\n[A-Z]", searched)
    for (job, name), data in files.items():
        search.look(f"artifact {name} of job {job}", data)
    for name, run in runs:
        search.look("a check run", str(run) + str(stack.world.annotations(name, run["id"])))
    paths = ["/", "/metrics", "/submit", "/nowhere", "/api/v1/jobs", "/api/v1/openapi.json", "/readyz"]
    paths += [form.format(job) for job in jobs for form in ("/jobs/{}", "/jobs/{}/log", "/api/v1/jobs/{}")]
    for path in paths:
        search.look(f"the page {path}", requests.get(f"{stack.url}{path}", timeout=30).content)
        search.look(f"{path} signed in", person.get(f"{stack.url}{path}", timeout=30).content)
    runner = stack.data / "runner"
    assert (runner / "runner.token").stat().st_mode & 0o077 == 0
    stack.stop()
    for table, data in _rows(place.database):
        search.look(f"the table {table}", data)
    search.look_below(stack.data / "logs")
    search.look_below(runner, runner / "runner.token")
    search.look_below(stack.data / "controller")
    search.look_below(place.bucket)
    if any((stack.data / "server").rglob("*")):
        search.look_below(stack.data / "server")
    assert search.found == []
    assert search.places > 40
    assert len(search.secrets) >= 12
