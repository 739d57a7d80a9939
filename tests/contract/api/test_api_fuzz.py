"""The runner API and the public API, fuzzed from the OpenAPI document: every answer is one it describes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from github_app import app as application
from github_app import config, moves, openapi, queue, services, tokens
from github_app.db import Database
from github_app.models import Repository
from runner.protocol import PREFIX

EXAMPLES = int(os.environ.get("API_EXAMPLES", "8"))
"""Requests made up for each operation, right ones and as many wrong ones; `make fuzz` makes more."""
MODES = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)

# A job whose fence a made-up request cannot know gets 404 or 409 at random, so stateful checks say nothing.
WANTED = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder: Path = tmp_path_factory.mktemp("fuzz")
    made = config.load({"RAAS_DATA_DIR": str(folder), "RAAS_PUBLIC_URL": "http://raas.test"})
    database = Database(made.database_url)
    database.upgrade()
    database.close()
    found = application.create_app(made)
    yield found
    application.close(found)


@pytest.fixture(scope="module")
def token(app: Any) -> str:
    """A registered runner's, and a job it may claim."""
    here = services.of(app)
    with here.db.write() as session:
        session.add(
            Repository(
                id=1, installation_id=1, owner="alice", name="spoon", private=False, default_branch="main"
            )
        )
        session.flush()
        request = queue.JobRequest(
            1, "push", "k", "alice", "5" * 40, "main", {"version": 1}, ["pendulum"], 60
        )
        queue.submit(session, request)
        invitation = tokens.invite(session, "goose", (), moves.utc_now())
    answer = app.test_client().post(
        f"{PREFIX}/register",
        json={"token": invitation, "software": "1"},
        headers={"RAAS-Protocol": "1"},
    )
    return str(answer.get_json()["token"])


@pytest.fixture(scope="module")
def api(app: Any) -> Any:
    return schemathesis.openapi.from_wsgi("/api/v1/openapi.json", app)


CASES = [
    (operation.method.upper(), operation.path, mode)
    for operation in openapi.operations()
    for mode in MODES
    if operation.media_type == "application/json"  # a stream of events does not end
    if operation.body or operation.query or "{" in operation.path or mode is MODES[0]  # nothing to do wrong
]


@pytest.mark.parametrize(("method", "path", "mode"), CASES)
def test_every_answer_is_one_the_document_describes(
    api: Any, token: str, method: str, path: str, mode: schemathesis.GenerationMode
) -> None:
    headers = {"Authorization": f"Bearer {token}", "RAAS-Protocol": "1"}

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(case=api[path][method].as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case) -> None:
        if isinstance(case.body, dict) and "wait_s" in case.body:
            case.body["wait_s"] = 0  # a claim that waits is right, and long
        case.call_and_validate(headers=headers, checks=WANTED)

    ask()
