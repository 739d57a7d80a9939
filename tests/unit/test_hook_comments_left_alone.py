"""Which comments are not even looked into: told by the delivery alone."""

from __future__ import annotations

from typing import Any

import pytest

from github_app.comments import left_alone
from github_app.payloads import IssueComment


def comment(**changes: Any) -> IssueComment:
    fields: dict[str, Any] = {
        "action": "created",
        "comment": {"id": 1, "body": "/raas run", "created_at": "2026-11-20T14:02:00Z"},
        "issue": {"number": 3, "pull_request": {"url": "x"}},
        "repository": {"id": 1, "name": "spoon", "owner": {"login": "alice"}, "private": False},
        "installation": {"id": 2},
        "sender": {"login": "alice", "type": "User"},
    }
    return IssueComment.model_validate({**fields, **changes})


def test_a_person_s_command_on_a_pull_request_is_heard() -> None:
    assert left_alone(comment()) is None


@pytest.mark.parametrize("kind", ["Bot", "Organization", "Mannequin", ""])
def test_programs_are_not_heard(kind: str) -> None:
    assert left_alone(comment(sender={"login": "dependabot[bot]", "type": kind})) == "not written by a person"


@pytest.mark.parametrize("action", ["edited", "deleted"])
def test_only_new_comments_are_heard(action: str) -> None:
    assert left_alone(comment(action=action)) == f"the comment was {action}"


def test_an_issue_is_no_pull_request() -> None:
    assert left_alone(comment(issue={"number": 3})) == "not on a pull request"


@pytest.mark.parametrize("body", [None, "", "Nice!", "> /raas run"])
def test_most_comments_are_no_commands(body: str | None) -> None:
    said = {"id": 1, "body": body, "created_at": "2026-11-20T14:02:00Z"}
    assert left_alone(comment(comment=said)) == "no command"
