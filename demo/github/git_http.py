"""Clone and push over HTTP: git's own `http-backend`, behind the same tokens as the API."""

import subprocess
import tempfile
from collections.abc import Iterator
from typing import IO

from flask import Blueprint, Response, request

from demo.github import access, auth
from demo.github.errors import ApiError
from demo.github.git_store import environment
from demo.github.hub import Hub
from demo.github.models import Repository
from demo.github.scope import Scope

MAX_PUSH_BYTES = 1 << 30
_CHUNK = 64 * 1024
_READ, _WRITE = "git-upload-pack", "git-receive-pack"


class _RefusedError(Exception):
    """Git gets a plain-text answer that it shows to its user."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        headers = {"WWW-Authenticate": 'Basic realm="GitHub"'} if status == 401 else {}
        self.response = Response(message + "\n", status, headers, content_type="text/plain; charset=utf-8")


def blueprint(hub: Hub) -> Blueprint:
    """Return the routes git talks to."""
    routes = Blueprint("git", __name__)

    @routes.get("/<owner>/<name>/info/refs")
    def info_refs(owner: str, name: str) -> Response:
        service = request.args.get("service", "")
        if service not in (_READ, _WRITE):
            return Response("Please upgrade your git client.\n", 403, content_type="text/plain")
        repository_id, _ = _admit(hub, owner, name, service)
        return _respond(hub, repository_id, "info/refs")

    @routes.post("/<owner>/<name>/git-upload-pack")
    def upload_pack(owner: str, name: str) -> Response:
        repository_id, _ = _admit(hub, owner, name, _READ)
        return _respond(hub, repository_id, _READ)

    @routes.post("/<owner>/<name>/git-receive-pack")
    def receive_pack(owner: str, name: str) -> Response:
        repository_id, pusher_id = _admit(hub, owner, name, _WRITE)
        answers: list[Response] = []

        def run() -> None:
            answer = _respond(hub, repository_id, _WRITE)
            # The refs have moved once git has said all it has to say.
            answer.set_data(answer.get_data())
            answers.append(answer)

        hub.receive(repository_id, pusher_id, run)
        return answers[0]

    @routes.errorhandler(_RefusedError)
    def refused(error: _RefusedError) -> Response:
        return error.response

    return routes


def _admit(hub: Hub, owner: str, name: str, service: str) -> tuple[int, int]:
    """Return the ids of the repository and of who acts (0: anonymous), or refuse as GitHub does."""
    with hub.read() as scope:
        try:
            who = auth.principal(scope, request.headers.get("Authorization"))
        except ApiError as error:
            raise _RefusedError(401, "Invalid username or token.") from error
        repository = scope.repository(owner, name)
        if repository is None:
            raise _RefusedError(401 if isinstance(who, access.Anonymous) else 404, "Repository not found.")
        _check(scope, who, repository, service)
        return repository.id, _actor_id(who)


def _check(scope: Scope, who: access.Principal, repository: Repository, service: str) -> None:
    level, person = ("write", "write") if service == _WRITE else ("read", "read")
    try:
        access.require(scope, who, repository, {"contents": level}, person)
    except ApiError as error:
        if isinstance(who, access.Anonymous):
            raise _RefusedError(401, "Authentication required.") from error
        if error.status == 404:
            raise _RefusedError(404, "Repository not found.") from error
        name = who.account.login if isinstance(who, access.Person) else "the app"
        raise _RefusedError(403, f"Permission to {repository.full_name}.git denied to {name}.") from error
    if service == _WRITE and repository.archived:
        raise _RefusedError(403, "This repository was archived so it is read-only.")


def _actor_id(who: access.Principal) -> int:
    if isinstance(who, access.Person):
        return who.account.id
    if isinstance(who, access.Installed):
        return who.token.installation.app.bot_id
    return 0


def _respond(hub: Hub, repository_id: int, service: str) -> Response:
    """Run `git http-backend` as a CGI program on the request and stream its answer."""
    with _body() as body:
        backend = subprocess.Popen(
            ("git", "http-backend"), stdin=body, stdout=subprocess.PIPE, env=_cgi(hub, repository_id, service)
        )
    output = backend.stdout
    assert output is not None  # noqa: S101  -- stdout=PIPE above
    status, headers = _head(output)
    return Response(_drain(backend, output), status, headers)


def _body() -> IO[bytes]:
    """Spool the request to a file, so that reading it and git's answering cannot wait for each other."""
    spool = tempfile.TemporaryFile()  # noqa: SIM115  -- closed by the caller
    size = 0
    while chunk := request.stream.read(_CHUNK):
        size += len(chunk)
        if size > MAX_PUSH_BYTES:
            spool.close()
            raise _RefusedError(413, f"A push may have at most {MAX_PUSH_BYTES} bytes.")
        spool.write(chunk)
    spool.seek(0)
    return spool


def _cgi(hub: Hub, repository_id: int, service: str) -> dict[str, str]:
    cgi = {
        **environment(),
        "GIT_PROJECT_ROOT": str(hub.settings.repositories.resolve()),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": f"/{repository_id}.git/{service}",
        "QUERY_STRING": request.query_string.decode("latin-1"),
        "REQUEST_METHOD": request.method,
        "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        "REMOTE_ADDR": request.remote_addr or "",
        "REMOTE_USER": "authenticated",
        "SERVER_PROTOCOL": "HTTP/1.1",
    }
    for header, variable in (("Git-Protocol", "GIT_PROTOCOL"), ("Content-Encoding", "HTTP_CONTENT_ENCODING")):
        if value := request.headers.get(header):
            cgi[variable] = value
    return cgi


def _head(output: IO[bytes]) -> tuple[int, list[tuple[str, str]]]:
    status, headers = 200, []
    while line := output.readline().strip():
        name, _, value = line.decode("latin-1").partition(":")
        if name.lower() == "status":
            status = int(value.split()[0])
        else:
            headers.append((name, value.strip()))
    return status, headers


def _drain(backend: subprocess.Popen[bytes], output: IO[bytes]) -> Iterator[bytes]:
    try:
        while chunk := output.read(_CHUNK):
            yield chunk
    finally:
        output.close()
        backend.wait()
